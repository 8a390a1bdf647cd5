"""What the rest asks of the database: the `OrderStore` protocol, and what may become of an order."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple, Protocol, TypeAlias

from sqlalchemy import Connection
from sqlalchemy.orm import Session, scoped_session

from orders.events import Event

Joined: TypeAlias = Session | scoped_session[Session] | Connection
"""The caller's own session or connection, in whose transaction something is to happen."""


class Outcome(StrEnum):
    """What a store found an order to be when it was asked to expire it."""

    EXPIRED = "expired"
    """This call changed the row from pending to expired, and nobody else will."""
    PAID = "paid"
    """This call changed the row from pending to paid, because the guard said so."""
    CLOSED = "closed"
    """The row was in another state before: paid, cancelled, expired."""
    DUE = "due"
    """The row is pending, and its deadline has passed; this call has not changed it."""
    NOT_DUE = "not_due"
    """The row is pending, and its deadline is later."""
    MISSING = "missing"
    """There is no such row; its transaction may not have been committed yet."""
    INVALID = "invalid"
    """There can be no such row, because the id column cannot hold the id; or it has no deadline."""


class Verdict(NamedTuple):
    """What became of one order: a tuple, which is made in a third of the time of a frozen dataclass."""

    outcome: Outcome
    due: float = 0.0
    """With DUE and NOT_DUE, the deadline of the row and the grace after it, in Unix seconds."""
    wait: float = 0.0
    """With DUE, NOT_DUE and EXPIRED, the seconds until it is due, by the clock that decided; below 0 once it is."""
    reason: str = ""
    """With MISSING and INVALID, what is wrong."""


class State(StrEnum):
    """What an order is."""

    PENDING = "pending"
    """It may be paid."""
    OVERDUE = "overdue"
    """It is pending, its deadline has passed, and it has not been expired yet."""
    PAID = "paid"
    EXPIRED = "expired"
    CLOSED = "closed"
    """It is in a state of the shop's own: cancelled, shipped."""
    MISSING = "missing"
    """There is no such row."""


@dataclass(frozen=True, slots=True)
class Row:
    """What an order's row says."""

    status: str
    """The shop's own word or number."""
    deadline: datetime | None
    state: State

    @property
    def is_pending(self) -> bool:
        """Whether the status is the shop's word for pending."""
        return self.state in {State.PENDING, State.OVERDUE}


class PaymentVerdict(StrEnum):
    """What became of a payment."""

    ACCEPTED = "accepted"
    """The order is paid now, and nobody will expire it."""
    DUPLICATE = "duplicate"
    """It was paid before: the callback came twice, or the customer paid twice."""
    TOO_LATE = "too_late"
    """It is expired."""
    CLOSED = "closed"
    """It is in a state of the shop's own: cancelled."""
    NOT_FOUND = "not_found"
    """There is no such order, or its transaction has not been committed yet."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What became of a payment, for its callback to act on."""

    order_id: str
    verdict: PaymentVerdict
    refund_key: str | None = None
    """If the money has to go back: an idempotency key for the refund, the same however often the callback comes."""
    was_revived: bool = False
    """Whether the order was expired, and the shop took its stock again."""

    @property
    def is_accepted(self) -> bool:
        """Whether this payment, now or before, is the one that the order is paid by."""
        paid = {PaymentVerdict.ACCEPTED, PaymentVerdict.DUPLICATE}
        return self.verdict in paid and self.refund_key is None


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending row, as reconciling finds it."""

    order_id: str
    """As the schedule names it."""
    deadline: datetime
    key: object
    """As the id column holds it; None stands before all ids."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """An event that is to be delivered later."""

    event: Event
    seconds: float
    """From now."""
    error: str | None
    """Why."""
    was_refused: bool
    """Whether a handler refused it."""


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
