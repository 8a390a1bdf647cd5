"""The model without a table to which the operators' permissions and log entries belong."""

from __future__ import annotations

from typing import Self

from django.db import models

from orders.operate import links

WHOLE = links.encode("")
"""The key of the whole schedule."""


class Schedule(models.Model):
    """An order in the schedule. It has no table: it gives the admin site permissions, and names in its log."""

    key: models.CharField[str, str] = models.CharField(primary_key=True, max_length=1024)
    """The order's id, encoded by `orders.operate.links`; None for all dead letters together.

    The encoded empty id, which no order has, is for the whole schedule.
    """

    class Meta:
        app_label = "order_expiry"
        managed = False
        default_permissions = ("view", "change")
        verbose_name = "scheduled order"
        verbose_name_plural = "schedule"

    def __str__(self) -> str:
        if self.key == WHOLE:
            return "the whole schedule"
        return links.show(self.order_id) if self.key else "all dead letters"

    @classmethod
    def of(cls, order_id: str) -> Self:
        """Return the object for an order id."""
        return cls(key=links.encode(order_id))

    @property
    def order_id(self) -> str:
        """The order's id, as it is in the schedule."""
        return links.decode(self.key) or ""
