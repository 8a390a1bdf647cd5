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


@dataclass(frozen=True, slots=True)
class Row:
    """What an order's row says."""

    status: str
    deadline: datetime | None
    is_pending: bool


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending row, as reconciling finds it."""

    order_id: str
    """As the schedule names it."""
    deadline: datetime
    key: object
    """As the id column holds it; None stands before all ids."""


class OrderStore(Protocol):
    """The orders table. Each method is one transaction, and raises `orders.errors.StoreError` if that fails."""

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire those that are pending and due, by one conditional update; tell what became of each id."""
        ...

    def extend(self, order_id: str, deadline: datetime) -> bool:
        """Give a pending order another deadline; tell whether it was pending."""
        ...

    def row(self, order_id: str) -> Row | None:
        """Return what an order's row says; None if there is none."""
        ...

    def pending(self, *, overdue: float | None, after: Pending | None, limit: int) -> Sequence[Pending]:
        """Return a page of pending rows by deadline and id, from behind *after*.

        Args:
            overdue: only those whose deadline passed this many seconds ago; None for all that have one.
            after: the last row of the page before, None for the first page.
            limit: how many rows a page has.
        """
        ...

    def count_pending(self, *, overdue: float | None) -> int:
        """Return how many rows `pending` would page through."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
