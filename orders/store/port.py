"""The interface between the rest of `orders` and a database: the protocols `OrderStore` and `Transactions`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from orders.events import Event
from orders.hooks import HookT
from orders.store.outcomes import Payment, Pending, Postponed, Row, Verdict

Joined: TypeAlias = Session | scoped_session[Session] | Connection
"""The caller's own session or connection, whose transaction a call joins."""


class Transactions(Protocol):
    """How a store begins transactions and runs callbacks after their commit.

    `orders.store.SqlTransactions` implements it for SQLAlchemy, `orders.contrib.django` and `orders.contrib.flask` for
    these frameworks, with their connections, commits and hook arguments.
    """

    def begin(self, session: Joined | None = None, *, reading: bool = False) -> AbstractContextManager[Connection]:
        """Return a connection in a transaction: a new one, which is committed at the end, or the caller's.

        If the block fails in the caller's transaction, its changes are undone, even if the caller catches the error
        and commits.

        Args:
            session: the caller's session or connection; None for a new transaction.
            reading: True if nothing will be written.

        Raises:
            StoreError: the database failed; nothing has changed.
            TypeError: *session* has another type.
        """
        ...

    def is_joined(self, session: Joined | None) -> bool:
        """Return whether a call joins a transaction of the caller's, which only the caller can repeat."""
        ...

    def forgives(self, session: Joined | None) -> bool:
        """Return whether an error of Redis is logged instead of raised, because the caller's commit stands anyway."""
        ...

    def after_commit(self, session: Joined | None, call: Callable[[], object]) -> None:
        """Call *call* after the caller's commit, never if it is rolled back; now if no transaction is open."""
        ...

    def hook_argument(self, session: Joined | None, connection: Connection) -> AbstractContextManager[Any]:
        """Return the first argument of hooks, with which they work in this transaction."""
        ...

    def savepoint(self, argument: Any) -> AbstractContextManager[Callable[[], None]]:
        """Begin a savepoint; return a function that rolls back to it.

        Args:
            argument: the `hook_argument`.
        """
        ...

    def in_thread(self, hook: HookT) -> HookT:
        """Return a hook for use in a separate thread: it closes the connections that it opens there."""
        ...

    def worker(self) -> AbstractContextManager[object]:
        """Return the context in which a worker runs an attempt: short-lived threads may share connections there."""
        ...

    def database(self, connection: Connection) -> Hashable:
        """Return a key that identifies the database of this connection."""
        ...

    def close(self) -> None:
        """Close our own connections, not the caller's."""
        ...


class OrderStore(Protocol):
    """The orders table and the events table.

    Each method is one transaction, or joins the caller's (*session*). It raises `orders.errors.StoreError` if it fails.
    """

    @property
    def transactions(self) -> Transactions:
        """How it begins transactions."""
        ...

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire the orders that are pending and due, by one conditional update; return a verdict for each id."""
        ...

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Return a verdict for each id; change nothing."""
        ...

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark the pending orders as paid, because the guard says so; return a verdict for each id."""
        ...

    def pay(self, order_id: str, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending; return what became of the payment.

        Args:
            order_id: the order's id.
            reference: the gateway's id of the payment.
            session: the caller's session or connection, whose transaction to join.
        """
        ...

    def extend(self, order_id: str, deadline: datetime, *, session: Joined | None = None) -> str | None:
        """Give a pending order another deadline.

        Args:
            order_id: the order's id.
            deadline: an aware datetime.
            session: the caller's session or connection, whose transaction to join.

        Returns:
            The order's id as it is in the schedule; None if the order was not pending.
        """
        ...

    def row(self, order_id: str) -> Row | None:
        """Return an order's row; None if there is none."""
        ...

    def pending(self, *, overdue: float | None, after: Pending | None, limit: int) -> Sequence[Pending]:
        """Return a page of pending rows that follow *after*, ordered by deadline and id.

        Args:
            overdue: only rows that have been due for this many seconds; None for all that have a deadline.
            after: the last row of the previous page, None for the first page.
            limit: the number of rows in a page.
        """
        ...

    def count_pending(self, *, overdue: float | None) -> int:
        """Return how many rows all pages of `pending` have."""
        ...

    def oldest_overdue(self) -> float | None:
        """Return for how many seconds the oldest pending row has been due; None if none is due. It reads one row."""
        ...

    def events(self, order_id: str, *, limit: int) -> Sequence[Event]:
        """Return the latest events of an order, oldest first; none if there is no events table."""
        ...

    def claim_events(self, *, limit: int, lease: float) -> Sequence[Event]:
        """Lease the oldest undelivered event of at most *limit* orders, for *lease* seconds."""
        ...

    def settle_events(self, delivered: Sequence[Event], postponed: Sequence[Postponed]) -> None:
        """Mark events as delivered and, in another transaction, release others to be claimed again later."""
        ...

    def prune_events(self, *, older_than: float, keep_undelivered: bool, limit: int) -> int:
        """Delete at most *limit* events that are older than *older_than* seconds; return how many."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
