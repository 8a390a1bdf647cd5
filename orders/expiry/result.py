"""What an attempt finds out about one order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orders.expiry.guard import Reply
from orders.hooks import Answer
from orders.store import Outcome, Verdict

if TYPE_CHECKING:
    from orders.config import Settings

FINAL = (Outcome.EXPIRED, Outcome.PAID, Outcome.CLOSED)
"""Outcomes after which an order is settled. A tuple: looking up an enum in a dict calls a Python function."""


SKEW = 0.25
"""Seconds by which the clocks of hosts may differ."""

ROUNDING = 0.5
"""Seconds by which a deadline column of whole seconds rounds up; its rows are due later than their scores."""

SOON = SKEW + ROUNDING
"""Seconds that a worker waits for a row that is not due yet by the database's clock."""


class Result:
    """What an attempt found out about one order.

    There is one for each order, so the defaults are class attributes, which makes it cheaper to create.

    Args:
        number: the number of this attempt, from 1.
    """

    verdict: Verdict | None = None
    """The last verdict of the store."""
    error: Exception | None = None
    """The error that the store raised instead."""
    reply: Reply | None = None
    """The reply of the guard."""
    unknown: int = 0
    """With the answer UNKNOWN, how often the guard has given it so far."""
    unanswered: int = 0
    """How often in a row the guard gave no answer."""
    kept: int = 0
    """How often in a row the shop's condition has kept the order."""

    lacks_reminder: bool = False
    """Whether a reminder's time has come, and it could not be recorded."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def answer(self) -> Answer | None:
        """The guard's answer."""
        return self.reply.answer if self.reply else None

    @property
    def is_kept(self) -> bool:
        """Whether the order is pending and due, but the shop's condition keeps it."""
        return self.verdict is not None and self.verdict.outcome is Outcome.KEPT

    def is_given_up(self, settings: Settings) -> bool:
        """Return whether the guard has answered UNKNOWN ``ORDERS_GUARD_LIMIT`` times."""
        return self.reply is not None and self.reply.was_answered and self.unknown >= settings.guard_limit

    def has_failed(self, settings: Settings) -> bool:
        """Return whether the attempt failed for the order."""
        if (self.verdict and self.verdict.outcome in FINAL) or self.is_kept:
            return False
        if self.answer is Answer.UNKNOWN:
            return self.is_given_up(settings)
        if self.verdict is None or self.verdict.outcome is Outcome.INVALID:
            return True
        was_abandoned = self.number > settings.max_attempts
        return self.verdict.outcome is Outcome.DUE and (bool(self.verdict.reason) or was_abandoned)
