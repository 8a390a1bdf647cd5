"""What the rest asks of the database: the `OrderStore` protocol, and what may become of an order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """What a store found an order to be when it was asked to expire it."""

    EXPIRED = "expired"
    """This call changed the row from pending to expired, and nobody else will."""
    CLOSED = "closed"
    """The row was in another state before: paid, cancelled, expired."""
    NOT_DUE = "not_due"
    """The row is pending, and its deadline is later."""
    MISSING = "missing"
    """There is no such row; its transaction may not have been committed yet."""
    INVALID = "invalid"
    """There can be no such row, because the id column cannot hold the id; or it has no deadline."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one order."""

    outcome: Outcome
    due: float = 0.0
    """With NOT_DUE, the deadline of the row, in Unix seconds."""
    wait: float = 0.0
    """With NOT_DUE, the seconds until then, by the clock that decided."""
    reason: str = ""
    """With MISSING and INVALID, what is wrong."""


class OrderStore(Protocol):
    """The orders table. Each method is one transaction, and raises `orders.errors.StoreError` if that fails."""

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire those that are pending and due, by one conditional update; tell what became of each id."""
        ...

    def extend(self, order_id: str, deadline: datetime) -> bool:
        """Give a pending order another deadline; tell whether it was pending."""
        ...
