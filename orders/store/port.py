"""What the rest of `orders` asks of a database: the protocols `OrderStore` and `Transactions`."""

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
"""The caller's own session or connection, in whose transaction something is to happen."""


class Transactions(Protocol):
    """How a store begins a transaction, and what may follow its commit.

    `orders.store.SqlTransactions` is the one for SQLAlchemy. Those of `orders.contrib.django` and
    `orders.contrib.flask` put a framework's connections, commits and hook arguments in its place.
    """

    def begin(self, session: Joined | None = None, *, reading: bool = False) -> AbstractContextManager[Connection]:
        """Return a connection in a transaction of its own, which is committed at the end, or in the caller's.

        In the caller's, what fails leaves nothing behind, even if the caller catches the error and commits.

        Args:
            session: the caller's session or connection; None for a transaction of its own.
            reading: whether nothing will be written.

        Raises:
            StoreError: the database failed; nothing has changed.
            TypeError: the session is something else.
        """
        ...

    def is_joined(self, session: Joined | None) -> bool:
        """Tell whether a call takes part in a transaction of the caller's: only the caller can repeat that one."""
        ...

    def forgives(self, session: Joined | None) -> bool:
        """Tell whether a Redis that fails is logged, not raised: what the caller has committed stands."""
        ...

    def after_commit(self, session: Joined | None, call: Callable[[], object]) -> None:
        """Call this once the caller's transaction is committed, never if it is rolled back; at once if none is open."""
        ...

    def hook_argument(self, session: Joined | None, connection: Connection) -> AbstractContextManager[Any]:
        """Return what hooks are called with, to work in this transaction."""
        ...

    def savepoint(self, argument: Any) -> AbstractContextManager[Callable[[], None]]:
        """Return what undoes all that happens inside.

        Args:
            argument: the `hook_argument`.
        """
        ...

    def in_thread(self, hook: HookT) -> HookT:
        """Return the hook as it is to be called in a thread of its own, whose connections nobody else closes."""
        ...

    def worker(self) -> AbstractContextManager[object]:
        """Return what a worker makes an attempt in: threads that come and go may share connections there."""
        ...

    def database(self, connection: Connection) -> Hashable:
        """Return what tells this database from others that the store is used with."""
        ...

    def close(self) -> None:
        """Close the connections that are ours."""
        ...


class OrderStore(Protocol):
    """The orders table, and the outbox beside it.

    Each method is one transaction, or happens in the caller's (*session*), and raises `orders.errors.StoreError` if it
    fails.
    """

    @property
    def transactions(self) -> Transactions:
        """The transactions that it works in."""
        ...

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire those that are pending and due, by one conditional update; tell what became of each id."""
        ...

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Tell what may become of each id; change nothing."""
        ...

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark those that are pending as paid, because the guard says so; tell what became of each id."""
        ...

    def pay(self, order_id: str, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending; tell what became of the payment.

        Args:
            order_id: the order's id.
            reference: the gateway's own id of the payment.
            session: the caller's session or connection, in whose transaction it happens.
        """
        ...

    def extend(self, order_id: str, deadline: datetime, *, session: Joined | None = None) -> str | None:
        """Give a pending order another deadline.

        Args:
            order_id: the order's id.
            deadline: an aware datetime.
            session: the caller's session or connection, in whose transaction it happens.

        Returns:
            The order's id as the schedule names it; None if it was not pending.
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
