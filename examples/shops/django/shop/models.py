"""The shop's tables."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """A product, and how many are left."""

    name = models.CharField(max_length=64)
    note = models.CharField(max_length=200)
    shape = models.CharField(max_length=32)
    glaze = models.CharField(max_length=32)
    price = models.PositiveIntegerField(help_text="in cents")
    stock = models.PositiveIntegerField()
    is_listed = models.BooleanField(default=True)
    is_broken = models.BooleanField(default=False, help_text="its place on the shelf: nothing can be put back there")

    def __str__(self) -> str:
        return str(self.name)


class Order(models.Model):
    """An order. The library uses only its key, status and deadline."""

    class Status(models.TextChoices):
        """The states of an order."""

        PENDING = "pending"
        PAID = "paid"
        EXPIRED = "expired"
        CANCELLED = "cancelled"

    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    expires_at = models.DateTimeField(help_text="the deadline")
    customer = models.CharField(max_length=32, db_index=True)
    product = models.ForeignKey(Product, models.PROTECT)
    units = models.PositiveIntegerField()
    total = models.PositiveIntegerField(help_text="in cents")

    class Meta:
        """The table's index."""

        indexes = (
            # For reconciling, which finds overdue orders that are missing from the schedule.
            models.Index(fields=["expires_at", "id"], name="shop_order_overdue", condition=models.Q(status="pending")),
        )

    def __str__(self) -> str:
        return f"order {self.pk}"


class Refund(models.Model):
    """A refund for the gateway. Its idempotency key makes the gateway pay it once, however often it is requested."""

    key = models.CharField(max_length=64, primary_key=True)
    order = models.ForeignKey(Order, models.PROTECT)
    reason = models.CharField(max_length=16)
    amount = models.PositiveIntegerField(help_text="in cents")

    def __str__(self) -> str:
        return str(self.key)
