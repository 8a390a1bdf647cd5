"""The vocabulary of the store: what an attempt did with an order, what became of a payment, what a row says."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

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
    NOT_DUE = "not_due"
    """The row is pending and its deadline is still to come."""
    MISSING = "missing"
    """There is no such row; its transaction may not have been committed yet."""
    INVALID = "invalid"
    """The id column cannot hold the id, or the row has no deadline."""


class Verdict(NamedTuple):
    """The outcome for one order. A tuple, because creating it takes a third of the time of a frozen dataclass."""

    outcome: Outcome
    due: float = 0.0
    """With DUE and NOT_DUE, the deadline of the row plus the grace, in Unix seconds."""
    wait: float = 0.0
    """With DUE, NOT_DUE and EXPIRED, the seconds until it is due, by the clock that decided; negative if overdue."""
    reason: str = ""
    """With MISSING and INVALID, what is wrong."""


class State(StrEnum):
    """The state of an order."""

    PENDING = "pending"
    """It can be paid."""
    OVERDUE = "overdue"
    """It is pending and its deadline has passed, but it has not been expired yet."""
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
        return self.state in {State.PENDING, State.OVERDUE}


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
