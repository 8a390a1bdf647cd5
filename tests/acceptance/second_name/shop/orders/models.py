from __future__ import annotations

from datetime import datetime

from django.db import models

OVERDUE = models.Index(fields=["expires_at", "id"], name="orders_overdue", condition=models.Q(status="pending"))


class Order(models.Model):
    status: models.CharField[str, str] = models.CharField(max_length=10, default="pending")
    expires_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()
    is_given_back: models.BooleanField[bool, bool] = models.BooleanField(default=False)

    class Meta:
        indexes = (OVERDUE,)

    def __str__(self) -> str:
        return str(self.pk)
