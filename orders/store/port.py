"""The interface between the rest of `orders` and a database: the protocols `OrderStore`, `Pauses`, `Transactions`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from orders.events import Event
from orders.hooks import HookT
from orders.store.deliveries import Deliveries
from orders.store.inspectable import Inspectable
from orders.store.outcomes import Page, Pause, Payment, Pending, Postponed, Row, Verdict, Window

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


class Pauses(Protocol):
    """The pause, which every update that expires orders looks at. Each method is one transaction."""

    def current(self) -> Pause | None:
        """Return the pause; None if the schedule is not paused."""
        ...

    def last(self) -> Pause | None:
        """Return the pause, or the one before if it is over; None if none is known."""
        ...

    def start(
        self,
        until: datetime | timedelta | None,
        *,
        by: str | None,
        reason: str | None,
        since: datetime | None = None,
    ) -> Pause:
        """Pause the schedule, or give the present pause another end; return the pause.

        Args:
            until: when it ends, or in how much time; None if only `end` ends it.
            by: who wants it.
            reason: why.
            since: when a pause began whose row was lost; by default it begins now.

        Raises:
            InvalidDeadline: *until* is not in the future, or after the year 8999.
            SchemaError: there is no events table.
        """
        ...

    def end(self) -> Pause | None:
        """End the pause; return it, None if the schedule was not paused."""
        ...

    def open_window(self) -> Window | None:
        """Return the part of the pause whose orders are to be extended next: up to now, or the one that is still open.

        None if the schedule is not paused.
        """
        ...

    def close_window(self, window: Window) -> None:
        """Note that the orders of this part were extended."""
        ...


class OrderStore(Inspectable, Protocol):
    """The orders table and the events table.

    Each method is one transaction, or joins the caller's (*session*). It raises `orders.errors.StoreError` if it fails.
    """

    @property
    def transactions(self) -> Transactions:
        """How it begins transactions."""
        ...

    @property
    def pauses(self) -> Pauses:
        """The pause."""
        ...

    @property
    def deliveries(self) -> Deliveries:
        """The progress of webhooks."""
        ...

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire the orders that are pending and due, by one conditional update; return a verdict for each id."""
        ...

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Return a verdict for each id; change nothing."""
        ...

    def remind(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Record the last reminder whose time has come, unless it is recorded; return a verdict for each id.

        REMINDED if this call recorded it; PAUSED if there is a pause; else what the row says. The deadline must be to
        come, and the shop's condition must hold. Raises SchemaError if there is no events table.
        """
        ...

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark the pending orders as paid, because the guard says so; return a verdict for each id."""
        ...

    def pay(self, order_id: str, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending; return what became of the payment.

        Args:
            order_id: the order's id.
            reference: the gateway's id of the payment, as `orders.ids.parse_reference` returns it.
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

    def hold(self, order_id: str, deadline: datetime, *, by: str, session: Joined | None = None) -> Pending | None:
        """Give a pending order a later deadline, never an earlier one.

        Args:
            order_id: the order's id.
            deadline: an aware datetime.
            by: who wants it, for the event.
            session: the caller's session or connection, whose transaction to join.

        Returns:
            The row with the deadline that it has now; None if the order was not pending.
        """
        ...

    def extend_page(
        self, later: Callable[[Pending], datetime], page: Page, *, by: str
    ) -> Sequence[tuple[Pending, datetime]]:
        """Give a page of pending orders later deadlines, in one transaction.

        Args:
            later: returns the new deadline of a row; later than the present one.
            page: the page.
            by: who wants it, for the events.

        Returns:
            The rows as they were, and their new deadlines.
        """
        ...

    def count_before(self, due_before: datetime) -> int:
        """Return how many rows all pages of `extend_page` have."""
        ...

    def cancel(self, order_id: str, *, reason: str, session: Joined | None = None) -> str | None:
        """Cancel an order if it is pending, and call the expire hooks with the reason.

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
            overdue: only rows that have been due for this many seconds and for which the shop's condition holds; None
                for all that have a deadline.
            after: the last row of the previous page, None for the first page.
            limit: the number of rows in a page.
        """
        ...

    def count_pending(self, *, overdue: float | None) -> int:
        """Return how many rows all pages of `pending` have."""
        ...

    def count_kept(self) -> int:
        """Return how many rows are pending and due, but kept by the shop's condition."""
        ...

    def oldest_overdue(self) -> float | None:
        """Return for how many seconds the oldest row that may expire has been due; None if none is."""
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

    def prune_events(self, *, older_than: float, keep_undelivered: bool, keep_for: Sequence[str], limit: int) -> int:
        """Delete at most *limit* events that are older than *older_than* seconds; return how many.

        It keeps those that wait for the handlers if *keep_undelivered*, or for an endpoint in *keep_for*.
        """
        ...

    def check(self) -> None:
        """Connect, and check the orders table.

        Raises:
            StoreUnavailable: the database cannot be reached.
            SchemaError: the table does not suit the settings, or the database rejects the shop's condition.
        """
        ...

    def close(self) -> None:
        """Close the connections."""
        ...
