"""A shop's own models: orders with ids of text's, integers' and UUIDs' kinds, states of words and of numbers."""

from __future__ import annotations

import uuid
from datetime import datetime

from django.db import models


class Product(models.Model):
    name: models.CharField[str, str] = models.CharField(max_length=60, unique=True)
    stock: models.IntegerField[int, int] = models.IntegerField(default=0)

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        return self.name


class Order(models.Model):
    """With a UUID for its key."""

    class Status(models.TextChoices):
        PENDING = "pending"
        PAID = "paid"
        EXPIRED = "expired"
        CANCELLED = "cancelled"

    id: models.UUIDField[uuid.UUID, uuid.UUID] = models.UUIDField(primary_key=True, default=uuid.uuid4)
    status: models.CharField[str, str] = models.CharField(max_length=10, choices=Status.choices, default=Status.PENDING)
    expires_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    class Meta:
        app_label = "shop"
        indexes = (
            models.Index(fields=["expires_at", "id"], name="shop_order_overdue", condition=models.Q(status="pending")),
        )

    def __str__(self) -> str:
        return str(self.pk)


class Item(models.Model):
    order: models.ForeignKey[Order, Order] = models.ForeignKey(Order, models.CASCADE, related_name="items")
    product: models.ForeignKey[Product, Product] = models.ForeignKey(Product, models.CASCADE)
    units: models.PositiveIntegerField[int, int] = models.PositiveIntegerField(default=1)

    class Meta:
        app_label = "shop"

    def __str__(self) -> str:
        return f"{self.units} of {self.product}"


class Booking(models.Model):
    """With a number for its key and for its state, and names of its own."""

    class State(models.IntegerChoices):
        OPEN = 0
        SETTLED = 5
        LAPSED = 9

    state: models.PositiveSmallIntegerField[int, int] = models.PositiveSmallIntegerField(
        choices=State.choices, default=State.OPEN, db_column="lage"
    )
    hold_until: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(
        db_column="frist bis", null=True
    )

    class Meta:
        app_label = "shop"
        db_table = "Buchung"

    def __str__(self) -> str:
        return str(self.pk)
