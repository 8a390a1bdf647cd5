"""The table of events as a Django model, for queries and for the admin. `orders.store.outbox` writes it."""

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
    """JSON in a column as `orders.store.outbox` has it: PostgreSQL's ``json``, which the driver has parsed already."""

    def db_type(self, connection: BaseDatabaseWrapper) -> str | None:
        """Return the type of the column."""
        return "json" if connection.vendor == "postgresql" else super().db_type(connection)

    def from_db_value(self, value: Any, expression: Any, connection: BaseDatabaseWrapper) -> Any:
        """Return what the application sees."""
        return super().from_db_value(value, expression, connection) if isinstance(value, str) else value


class OrderEvent(models.Model):
    """What happened to an order. Rows are written with the change of state, and deleted after their retention."""

    order_id: models.CharField[str, str] = models.CharField(max_length=ids.MAX_LENGTH)
    kind: models.CharField[str, str] = models.CharField(max_length=32)
    at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    data = Facts()
    try_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    """When a handler may be given it."""
    refusals: models.IntegerField[int, int] = models.IntegerField(default=0, db_default=0)
    """How many times a handler has refused it."""
    delivered_at: models.DateTimeField[datetime | None, datetime | None] = models.DateTimeField(null=True)
    error: models.TextField[str | None, str | None] = models.TextField(null=True)
    """Why it was refused last."""

    class Meta:
        # The migration makes the table and its indexes as `orders.store.outbox` describes them.
        db_table = events_table()
        default_permissions = ("view",)
        verbose_name = "order event"

    def __str__(self) -> str:
        return f"{self.kind} {self.order_id}"
