"""The table of events, and the permissions on the schedule."""

from django.db import migrations, models

from orders.contrib.django.conf import events_table
from orders.contrib.django.models import Facts
from orders.contrib.django.operations import CreateOutbox


class Migration(migrations.Migration):
    """The first migration."""

    initial = True
    dependencies = ()
    operations = (
        CreateOutbox(
            name="OrderEvent",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("order_id", models.CharField(max_length=255)),
                ("kind", models.CharField(max_length=32)),
                ("at", models.DateTimeField()),
                ("data", Facts()),
                ("try_at", models.DateTimeField()),
                ("refusals", models.IntegerField(db_default=0, default=0)),
                ("delivered_at", models.DateTimeField(null=True)),
                ("error", models.TextField(null=True)),
            ],
            options={
                "verbose_name": "order event",
                "db_table": events_table(),
                "default_permissions": ("view",),
            },
        ),
        migrations.CreateModel(
            name="Schedule",
            fields=[("key", models.CharField(max_length=1024, primary_key=True, serialize=False))],
            options={
                "verbose_name": "scheduled order",
                "verbose_name_plural": "schedule",
                "managed": False,
                "default_permissions": ("view", "change"),
            },
        ),
    )
