"""The shop's tables."""

from __future__ import annotations

from django.db import models


class Product(models.Model):
    """What is sold, and how much of it is left."""

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
    """An order. Its key, status and deadline are all that the library needs to know of it."""

    class Status(models.TextChoices):
        """What an order may be."""

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
        """What the table has besides."""

        indexes = (
            # For reconciling, which looks for overdue orders that the schedule lacks.
            models.Index(fields=["expires_at", "id"], name="shop_order_overdue", condition=models.Q(status="pending")),
        )

    def __str__(self) -> str:
        return f"order {self.pk}"


class Refund(models.Model):
    """Money that goes back. Its key makes the gateway pay it back once, however often it is asked to."""

    key = models.CharField(max_length=64, primary_key=True)
    order = models.ForeignKey(Order, models.PROTECT)
    reason = models.CharField(max_length=16)
    amount = models.PositiveIntegerField(help_text="in cents")

    def __str__(self) -> str:
        return str(self.key)
