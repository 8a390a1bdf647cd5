"""What becomes of orders in the schedule after an attempt: the table of outcomes, as code.

=================================== =====================================================================
what was found                      in Redis, if the fence holds
=================================== =====================================================================
the row was changed, or was final   out of the schedule
pending, due later                  its score is that deadline
no such row                         again with backoff (it may not be committed yet), then buried
the guard does not know             again with backoff, then ``ORDERS_GUARD_END``; no attempt is counted
the guard gave no answer            again with backoff, for ever; no attempt is counted
the guard is not asked              again after its pause; no attempt is counted
a server failed                     again with backoff; no attempt is counted
a hook raised, an id cannot be      again with backoff, then buried
its process died, each time         buried
=================================== =====================================================================
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from orders import ids
from orders.config import mask
from orders.expiry.guard import Reply
from orders.hooks import Answer
from orders.logs import about
from orders.schedule import CLOSED, EXPIRED, NOTHING, Counts, Move, Schedule, lateness
from orders.store import Outcome, Verdict

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

BACKOFF = 1.0
"""Seconds before an order's second attempt, doubled for each further one."""

MAX_BACKOFF = 300.0
"""The most seconds between two attempts."""

TOLD = 1000
"""Characters of a reason that are kept."""

OUTAGE_BACKOFF = 5.0
"""Seconds before the next attempt when the database, not the order, is at fault."""


def backoff(number: int) -> float:
    """Return the seconds between a failed try and the next, before they are spread.

    Args:
        number: of the try that failed, from 1.
    """
    return min(BACKOFF * 2.0 ** min(number - 1, 30), MAX_BACKOFF)


FINAL = {outcome: (outcome.value,) for outcome in (Outcome.EXPIRED, Outcome.PAID, Outcome.CLOSED)}
"""What a row is found to be that leaves the schedule, and how the attempt ended for it then."""


class Finding:
    """What an attempt found out about one order: made for each, so all but the number stands with the class at first.

    Args:
        number: of this attempt, from 1.
    """

    verdict: Verdict | None = None
    """What the store said last."""
    error: Exception | None = None
    """What it raised instead."""
    reply: Reply | None = None
    """What the guard said."""
    unknown: int = 0
    """With the answer UNKNOWN, how many times the guard has given it so far."""
    unanswered: int = 0
    """How many times in a row it gave none."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def answer(self) -> Answer | None:
        """The guard's answer."""
        return self.reply.answer if self.reply else None

    def is_given_up(self, settings: Settings) -> bool:
        """Tell whether the guard said that it does not know for the last time."""
        return self.reply is not None and self.reply.was_answered and self.unknown >= settings.guard_limit


class Settlement:
    """What is to be done in the schedule.

    Args:
        findings: what was found out, by order id.
        settings: the settings.
        outage: the error of a server that ended the attempt.
        counts: what else is to be counted; see `orders.schedule.counters`.
        now: returns Redis's time.
        jitter: returns a number from 0 to 1, by which retries are spread.
    """

    def __init__(
        self,
        findings: Mapping[str, Finding],
        settings: Settings,
        outage: Exception | None,
        *,
        counts: Mapping[str, int],
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._outage = outage
        self._read_clock = now
        self._jitter = jitter
        self._settled: list[str] = []
        self._late: list[float] = []
        self._moves: list[Move] = []
        self._retried: list[Move] = []
        """Of the moves, those that count against an order."""
        self._letters: dict[str, dict[str, Any]] = {}
        self.ends = {order_id: self._add(order_id, finding) for order_id, finding in findings.items()}
        """How the attempt ended for each: an `orders.store.Outcome`, what became of it in the schedule, or both."""
        self._counts = {**counts, **self._counted()}

    def carry_out(self, schedule: Schedule, lease: float) -> None:
        """Do it, where the fence holds."""
        counts: Counts = self._counts  # for whatever is called first
        if self._settled:
            schedule.settle(lease, self._settled, counts)
            counts = NOTHING
        if self._moves:
            schedule.reschedule(lease, self._moves, counts)
            counts = NOTHING
        if self._letters:
            schedule.bury(lease, [(order_id, json.dumps(letter)) for order_id, letter in self._letters.items()], counts)
        self._log(lease)

    def _log(self, lease: float) -> None:
        """Say of each order that failed why it did."""
        limit = self._settings.max_attempts
        for move in self._retried:
            named, why, retry_at = ids.printable(move.order_id), (move.failure or {})["error"], move.due
            told = about("retried", [move.order_id], lease=lease, attempt=move.attempts, retry_at=retry_at, reason=why)
            seconds = retry_at - self._now
            message = "attempt %d of %d at the order %s failed, the next is in %.1f s: %s"
            logger.warning(message, move.attempts, limit, named, seconds, why, extra=told)
        for order_id, letter in self._letters.items():
            named, number, why = ids.printable(order_id), letter["attempts"], letter["reason"]
            told = about("buried", [order_id], lease=lease, attempt=number, reason=why)
            logger.error("buried the order %s after attempt %d of %d: %s", named, number, limit, why, extra=told)

    def _counted(self) -> Mapping[str, int]:
        if not self._settled:
            return {}
        expired = len(self._late)
        return {EXPIRED: expired, CLOSED: len(self._settled) - expired, **lateness(self._late)}

    def _add(self, order_id: str, finding: Finding) -> tuple[str, ...]:
        """Take down what is to be done with an order; return how the attempt ended for it."""
        verdict = finding.verdict
        if verdict and verdict.outcome in FINAL:
            self._settled.append(order_id)
            if verdict.outcome is Outcome.EXPIRED:
                self._late.append(-verdict.wait)
            return FINAL[verdict.outcome]
        if finding.answer is Answer.UNKNOWN:
            return (self._add_unknown(order_id, finding),)
        number, limit = finding.number, self._settings.max_attempts
        found = (verdict.outcome.value,) if verdict and verdict.outcome is not Outcome.DUE else ()
        if verdict and verdict.outcome is Outcome.NOT_DUE:
            self._moves.append(Move(order_id, verdict.due))
            return found
        if self._outage and not finding.error and number <= limit:
            self._again(order_id, finding, OUTAGE_BACKOFF, str(self._outage), is_counted=False)
            return (*found, "postponed")
        if number < limit:
            self._again(order_id, finding, backoff(number), reason(finding), is_counted=True)
            return (*found, "retried")
        return (*found, self._bury(order_id, finding, reason(finding)))

    def _add_unknown(self, order_id: str, finding: Finding) -> str:
        """Have the guard asked again. Its not knowing is nobody's failure."""
        reply = finding.reply
        if reply is None or not reply.was_asked:
            wait = max(reply.wait if reply else 0.0, BACKOFF)
            self._again(order_id, finding, wait, reason(finding), is_counted=False)
            return "postponed"
        if not finding.is_given_up(self._settings):
            tries = max(finding.unknown, finding.unanswered)
            self._again(order_id, finding, backoff(tries), reason(finding), is_counted=False)
            return "unknown"
        return self._bury(order_id, finding, f"{reason(finding)}; it was asked {finding.unknown} times")

    def _again(self, order_id: str, finding: Finding, seconds: float, error: str, *, is_counted: bool) -> None:
        retry_at = self._now + seconds * (1 + self._jitter() / 2)
        failure: dict[str, Any] = {"error": error, "at": self._now, "retry_at": retry_at}
        asked = {"unknown": finding.unknown, "unanswered": finding.unanswered}
        failure |= {name: count for name, count in asked.items() if count}
        move = Move(order_id, retry_at, finding.number - (not is_counted), failure)
        self._moves.append(move)
        if is_counted:
            self._retried.append(move)

    def _bury(self, order_id: str, finding: Finding, why: str) -> str:
        self._letters[order_id] = {"reason": why, "attempts": finding.number, "buried_at": self._now}
        return "buried"

    @cached_property
    def _now(self) -> float:
        return self._read_clock()


def reason(finding: Finding) -> str:
    """Return why an order is not settled, fit for Redis and for a log."""
    return mask(_reason(finding))[:TOLD]


def _reason(finding: Finding) -> str:
    if finding.error:
        return f"{type(finding.error).__name__}: {finding.error}"
    if finding.answer is Answer.UNKNOWN and finding.reply:
        return finding.reply.reason
    if finding.verdict:
        return finding.verdict.reason
    return f"none of {finding.number - 1} attempts came to an end: its process was killed each time"
