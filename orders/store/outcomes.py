"""The vocabulary of the store: what an attempt did with an order, what became of a payment, what a row says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from orders.clock import local
from orders.events import Event


class Outcome(StrEnum):
    """What the store did with an order, or found, when it was to expire it."""

    EXPIRED = "expired"
    """This call changed the row from pending to expired."""
    PAID = "paid"
    """This call changed the row from pending to paid, because the guard said so."""
    CLOSED = "closed"
    """The row was already in another state: paid, cancelled, expired."""
    DUE = "due"
    """The row is pending and its deadline has passed; this call did not change it."""
    KEPT = "kept"
    """The row is pending and due, but the shop's condition does not hold for it (``ORDERS_CONDITION``)."""
    PAUSED = "paused"
    """The row is pending and due, but the schedule is paused."""
    NOT_DUE = "not_due"
    """The row is pending and its deadline is still to come."""
    REMINDED = "reminded"
    """The same, and this call recorded the reminder whose time has come (``ORDERS_REMIND``)."""
    MISSING = "missing"
    """There is no such row; its transaction may not have been committed yet."""
    INVALID = "invalid"
    """The id column cannot hold the id, or the row has no deadline."""


class Verdict(NamedTuple):
    """The outcome for one order. A tuple, because creating it takes a third of the time of a frozen dataclass."""

    outcome: Outcome
    due: float = 0.0
    """With DUE, KEPT, PAUSED, NOT_DUE and REMINDED, the deadline of the row plus the grace, in Unix seconds."""
    wait: float = 0.0
    """With these and EXPIRED, the seconds until it is due by the deciding clock; negative if overdue."""
    reason: str = ""
    """With KEPT, MISSING and INVALID, why."""


class State(StrEnum):
    """The state of an order."""

    PENDING = "pending"
    """It can be paid."""
    OVERDUE = "overdue"
    """It is pending and its deadline has passed, but it has not been expired yet."""
    KEPT = "kept"
    """The same, and the shop's condition (``ORDERS_CONDITION``) keeps it from being expired."""
    PAID = "paid"
    EXPIRED = "expired"
    CLOSED = "closed"
    """It is in one of the shop's other states: cancelled, shipped."""
    MISSING = "missing"
    """There is no such row."""


@dataclass(frozen=True, slots=True)
class Row:
    """The row of an order."""

    status: str
    """The value of the status column, as text."""
    deadline: datetime | None
    state: State

    @property
    def is_pending(self) -> bool:
        """Whether the status is the shop's value for pending."""
        return self.state in {State.PENDING, State.OVERDUE, State.KEPT}


class PaymentVerdict(StrEnum):
    """What became of a payment."""

    ACCEPTED = "accepted"
    """The order is now paid and will not be expired."""
    DUPLICATE = "duplicate"
    """The order was already paid: the callback came twice, or the customer paid twice."""
    TOO_LATE = "too_late"
    """The order is expired."""
    CLOSED = "closed"
    """The order is in one of the shop's other states: cancelled."""
    NOT_FOUND = "not_found"
    """There is no such order, or the transaction that places it is not committed yet."""


@dataclass(frozen=True, slots=True)
class Payment:
    """What became of a payment, for the payment callback to act on."""

    order_id: str
    verdict: PaymentVerdict
    refund_key: str | None = None
    """The idempotency key for the refund, if one is due. Repeated callbacks get the same key."""
    was_revived: bool = False
    """Whether the order was expired and the shop's ``@orders.on_late_payment`` revived it."""
    is_pending: bool = False
    """Whether the order is still pending: this payment had been refused before the shop reopened the order."""

    @property
    def is_accepted(self) -> bool:
        """Whether the order is paid by this payment, now or before."""
        paid = {PaymentVerdict.ACCEPTED, PaymentVerdict.DUPLICATE}
        return self.verdict in paid and self.refund_key is None

    @property
    def is_final(self) -> bool:
        """Whether the order's row is in a final state, so that nothing is left to schedule."""
        return self.verdict is not PaymentVerdict.NOT_FOUND and not self.is_pending


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending row, for reconcile."""

    order_id: str
    """As it is in the schedule."""
    deadline: datetime
    key: object
    """The id as the id column holds it; None sorts before all ids."""


class Found(NamedTuple):
    """A row, for the audit."""

    order_id: str
    """As it is in the schedule."""
    deadline: datetime | None
    key: object
    """The id as the id column holds it."""
    state: State


class Expected(NamedTuple):
    """How many pending rows are due in a span of time."""

    expiring: int
    """Those for which the shop's condition holds now."""
    kept: int
    """Those that it keeps from expiring."""


@dataclass(frozen=True, slots=True)
class Pause:
    """A pause of the schedule: nothing expires while it lasts."""

    since: datetime
    """In UTC."""
    until: datetime | None
    """When it ends by itself; None if only `orders.resume` ends it."""
    by: str | None
    """Who wanted it, if that is known: "brake" if it was ``ORDERS_BRAKE``."""
    reason: str | None
    """Why, if that is known."""

    def __str__(self) -> str:
        ends = f"until {local(self.until)}" if self.until else "until somebody resumes it"
        by = f" by {self.by}" if self.by else ""
        return f"paused since {local(self.since)}{by}, {ends}{f': {self.reason}' if self.reason else ''}"


class Page(NamedTuple):
    """A page of pending rows, the latest deadline first."""

    due_before: datetime
    """Only rows with an earlier deadline."""
    due_from: datetime | None
    """Only rows with this deadline or a later one; None for all."""
    before: Pending | None
    """The last row of the previous page; None for the first page."""
    limit: int


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a pause: orders that fell due in it are extended by its length."""

    start: datetime
    end: datetime
    is_left: bool
    """Whether a run that was interrupted has left it, so that time has passed since its end."""


@dataclass(frozen=True, slots=True)
class Postponed:
    """An event to deliver later."""

    event: Event
    seconds: float
    """The wait, from now."""
    error: str | None
    """Why it was not delivered."""
    was_refused: bool
    """Whether a handler raised, which counts as a refusal."""
