"""What may become of an order, and of a payment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from orders.events import Event


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
