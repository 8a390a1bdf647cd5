from django.db import migrations, models

from orders.models import OVERDUE


class Migration(migrations.Migration):
    initial = True
    dependencies = ()
    operations = (
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("status", models.CharField(default="pending", max_length=10)),
                ("expires_at", models.DateTimeField()),
                ("is_given_back", models.BooleanField(default=False)),
            ],
            options={"indexes": [OVERDUE]},
        ),
    )
