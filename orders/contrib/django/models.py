"""The table of events as a Django model, for queries and for the admin. `orders.store.outbox` writes to it."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from orders import ids
from orders.contrib.django.conf import events_table
from orders.contrib.django.permissions import Schedule

__all__ = ["OrderEvent", "Schedule"]


class Facts(models.JSONField):
    """JSON with the column type of `orders.store.outbox`: on PostgreSQL ``json``, which the driver parses."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return the column type."""
        return "json" if connection.vendor == "postgresql" else super().db_type(connection)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return the parsed value."""
        return super().from_db_value(value, expression, connection) if isinstance(value, str) else value


class OrderEvent(models.Model):
    """What happened to an order. A row is written in the order's transaction, and deleted after its retention."""

    order_id: models.CharField[str, str] = models.CharField(max_length=ids.MAX_LENGTH)
    kind: models.CharField[str, str] = models.CharField(max_length=32)
    at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    data = Facts()
    try_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    """The earliest time of the next delivery."""
    refusals: models.IntegerField[int, int] = models.IntegerField(default=0, db_default=0)
    """How many deliveries have failed."""
    delivered_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True)
    error: models.TextField[str | None, str | None] = models.TextField(null=True)
    """Why the last delivery failed."""

    class Meta:
        # The migration creates the table and its indexes as `orders.store.outbox` defines them.
        db_table = events_table()
        default_permissions = ("view",)
        verbose_name = "order event"

    def __str__(self) -> str:
        return f"{self.kind} {self.order_id}"
