"""The shop's tables."""

import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """The first migration."""

    initial = True

    dependencies = ()

    operations = (
        migrations.CreateModel(
            name="Product",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=64)),
                ("note", models.CharField(max_length=200)),
                ("shape", models.CharField(max_length=32)),
                ("glaze", models.CharField(max_length=32)),
                ("price", models.PositiveIntegerField(help_text="in cents")),
                ("stock", models.PositiveIntegerField()),
                ("is_listed", models.BooleanField(default=True)),
                (
                    "is_broken",
                    models.BooleanField(
                        default=False, help_text="its place on the shelf: nothing can be put back there"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                (
                    "status",
                    models.CharField(
                        choices=[
                            ("pending", "Pending"),
                            ("paid", "Paid"),
                            ("expired", "Expired"),
                            ("cancelled", "Cancelled"),
                        ],
                        default="pending",
                        max_length=16,
                    ),
                ),
                ("expires_at", models.DateTimeField(help_text="the deadline")),
                ("customer", models.CharField(db_index=True, max_length=32)),
                ("units", models.PositiveIntegerField()),
                ("total", models.PositiveIntegerField(help_text="in cents")),
                ("product", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="shop.product")),
            ],
        ),
        migrations.CreateModel(
            name="Refund",
            fields=[
                ("key", models.CharField(max_length=64, primary_key=True, serialize=False)),
                ("reason", models.CharField(max_length=16)),
                ("amount", models.PositiveIntegerField(help_text="in cents")),
                (
                    "order",
                    models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="shop.order"),
                ),
            ],
        ),
        migrations.AddIndex(
            model_name="order",
            index=models.Index(
                condition=models.Q(("status", "pending")), fields=["expires_at", "id"], name="shop_order_overdue"
            ),
        ),
    )
