"""The tables that `tests.faults.postgres.AUDIT` creates."""

from __future__ import annotations

from datetime import datetime

from django.db import models


class Order(models.Model):
    id: models.BigIntegerField[int, int] = models.BigIntegerField(primary_key=True)
    status: models.TextField[str, str] = models.TextField()
    expires_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    class Meta:
        app_label = "django_shop"
        managed = False
        db_table = "orders"
        indexes = (models.Index(fields=["expires_at", "id"], name="overdue", condition=models.Q(status="pending")),)

    def __str__(self) -> str:
        return str(self.pk)


class GivenBack(models.Model):
    """That an order has given its stock back."""

    order: models.ForeignKey[Order, Order] = models.ForeignKey(Order, models.DO_NOTHING)

    class Meta:
        app_label = "django_shop"
        managed = False
        db_table = "given_back"

    def __str__(self) -> str:
        return str(self.order)
