"""Events: what happened to orders, as stored in the outbox and passed to handlers."""

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
    """It has another deadline: by `orders.extend` or, as its data say, by `orders.hold` or the guard."""
    CANCELLED = "cancelled"
    """It was cancelled with `orders.cancel`; its data have the reason."""
    LATE_PAYMENT = "late_payment"
    """A payment came for an order that can no longer be paid: a refund is due."""
    REVIVED = "revived"
    """A payment came for an expired order, and the shop could reserve its stock again: the order is paid."""
    REMINDER = "reminder"
    """It is still pending, so long before its deadline as ``ORDERS_REMIND`` says."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to an order, as stored in the outbox."""

    id: int
    """Unique. An event may be delivered twice: store the ids of the events that you have handled."""
    order_id: str
    kind: EventKind
    at: datetime
    """When it happened, in UTC, by the clock that decided it."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Details: "deadline", "reference", "refund_key", "verdict", "by", "reason", "before" (seconds)."""
    delivered_at: datetime | None = None
    """When the handlers had processed it; None if they have not."""
    refusals: int = 0
    """How many times a handler failed on it."""
    error: str | None = None
    """The last failure."""
