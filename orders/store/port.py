"""What the rest asks of the database: the `OrderStore` protocol, and what may become of an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from orders.events import Event
from orders.store.outcomes import Payment, Pending, Postponed, Row, Verdict

Joined: TypeAlias = Session | scoped_session[Session] | Connection
"""The caller's own session or connection, in whose transaction something is to happen."""


class OrderStore(Protocol):
    """The orders table, and the outbox beside it.

    Each method is one transaction, or happens in the caller's (*joined*), and raises `orders.errors.StoreError` if it
    fails.
    """

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire those that are pending and due, by one conditional update; tell what became of each id."""
        ...

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Tell what may become of each id; change nothing."""
        ...

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark those that are pending as paid, because the guard says so; tell what became of each id."""
        ...

    def pay(
        self,
        order_id: str,
        *,
        reference: str | None = None,
        joined: Joined | None = None,
        after_commit: Callable[[str], None] | None = None,
    ) -> Payment:
        """Mark an order as paid if it is pending; tell what became of the payment.

        Args:
            order_id: the order's id.
            reference: the gateway's own id of the payment.
            joined: the caller's session or connection.
            after_commit: called with the order's id, as the schedule names it, once the transaction has been committed;
                not if there is no such order.
        """
        ...

    def extend(
        self,
        order_id: str,
        deadline: datetime,
        *,
        joined: Joined | None = None,
        after_commit: Callable[[str], None] | None = None,
    ) -> bool:
        """Give a pending order another deadline; tell whether it was pending.

        Args:
            order_id: the order's id.
            deadline: an aware datetime.
            joined: the caller's session or connection.
            after_commit: called with the order's id once the transaction has been committed, if it was pending.
        """
        ...

    def row(self, order_id: str) -> Row | None:
        """Return what an order's row says; None if there is none."""
        ...

    def pending(self, *, overdue: float | None, after: Pending | None, limit: int) -> Sequence[Pending]:
        """Return a page of pending rows by deadline and id, from behind *after*.

        Args:
            overdue: only those that have been due for this many seconds; None for all that have a deadline.
            after: the last row of the page before, None for the first page.
            limit: how many rows a page has.
        """
        ...

    def count_pending(self, *, overdue: float | None) -> int:
        """Return how many rows `pending` would page through."""
        ...

    def oldest_overdue(self) -> float | None:
        """Return for how many seconds a pending row has been due, at most; None if none is. It reads one row."""
        ...

    def events(self, order_id: str, *, limit: int) -> Sequence[Event]:
        """Return the latest events of an order, oldest first; none if there is no outbox."""
        ...

    def claim_events(self, *, limit: int, lease: float) -> Sequence[Event]:
        """Lease the oldest undelivered event of at most *limit* orders for so many seconds."""
        ...

    def settle_events(self, delivered: Sequence[Event], postponed: Sequence[Postponed]) -> None:
        """Note which events were delivered and, in another transaction, which are to be claimed again."""
        ...

    def prune_events(self, *, older_than: float, keep_undelivered: bool, limit: int) -> int:
        """Delete at most *limit* events that are so many seconds old; return how many."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
