"""What happens to orders, as events: the rows of the outbox, and what handlers are given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class EventKind(StrEnum):
    """What happened."""

    EXPIRED = "expired"
    PAID = "paid"
    EXTENDED = "extended"
    LATE_PAYMENT = "late_payment"
    """Money came for an order that does not take it any more: a refund is due."""
    REVIVED = "revived"
    """Money came for an expired order, and the shop took its stock again: it is paid."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an order, as it stands in the outbox."""

    id: int
    """Unique. An event may be delivered twice: keep the ids of those that you have handled."""
    order_id: str
    kind: EventKind
    at: datetime
    """When it happened, in UTC, by the clock that decided."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """More about it: "deadline", "reference", "refund_key", "verdict", "by"."""
    delivered_at: datetime | None = None
    """When the handlers had it; None if they have not."""
    refusals: int = 0
    """How many times a handler refused it."""
    error: str | None = None
    """Why, the last time."""
