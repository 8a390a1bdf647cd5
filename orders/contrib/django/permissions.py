"""What the operators' permissions and their log are about: a model without a table."""

from __future__ import annotations

from typing import Self

from django.db import models

from orders.contrib.django import links


class Schedule(models.Model):
    """An order in the schedule. Nothing is stored: it gives the admin site permissions and names in its log."""

    key: models.CharField[str, str] = models.CharField(primary_key=True, max_length=1024)
    """The order's id, as `orders.contrib.django.links` writes it; None of all dead letters together."""

    class Meta:
        app_label = "order_expiry"
        managed = False
        default_permissions = ("view", "change")
        verbose_name = "scheduled order"
        verbose_name_plural = "schedule"

    def __str__(self) -> str:
        return links.show(self.order_id) if self.key else "all dead letters"

    @classmethod
    def of(cls, order_id: str) -> Self:
        """Return an order by its id."""
        return cls(key=links.encode(order_id))

    @property
    def order_id(self) -> str:
        """The order's id, as the schedule has it."""
        return links.decode(self.key) or ""
