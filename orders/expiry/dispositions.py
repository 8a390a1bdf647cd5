"""Decide what happens to orders in Redis after an attempt: a table of outcomes, as code.

`plan` decides and changes nothing. `Dispositions.apply` changes Redis, for the orders whose lease still holds.

=================================== ==========================================================================
what the attempt found              what happens in Redis
=================================== ==========================================================================
the row was changed, or was final   settled: the id is removed from the schedule
pending, due later                  moved: the score becomes that deadline
no such row                         rescheduled with backoff (it may not be committed yet), then buried
the guard answered UNKNOWN          rescheduled with backoff, then ``ORDERS_GUARD_END``; no attempt is counted
the guard gave no answer            rescheduled with backoff, without limit; no attempt is counted
the guard was not asked             rescheduled after the breaker's pause; no attempt is counted
a server failed                     rescheduled after `OUTAGE_BACKOFF`; no attempt is counted
a hook raised, or the id is invalid rescheduled with backoff, then buried
the worker process died each time   buried
=================================== ==========================================================================
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
"""Seconds between the first attempt and the second, doubled for each further one."""

MAX_BACKOFF = 300.0
"""The longest time between two attempts, in seconds."""

MAX_REASON_LENGTH = 1000
"""Characters of a reason that are stored."""

OUTAGE_BACKOFF = 5.0
"""Seconds before the next attempt if a server is at fault and not the order."""


def backoff(number: int) -> float:
    """Return the seconds between a failed try and the next one, without jitter.

    Args:
        number: the number of the failed try, from 1.
    """
    return min(BACKOFF * 2.0 ** min(number - 1, 30), MAX_BACKOFF)


FINAL = (Outcome.EXPIRED, Outcome.PAID, Outcome.CLOSED)
"""Outcomes after which an order is settled. A tuple: looking up an enum in a dict calls a Python function."""

_EXPIRED = (Outcome.EXPIRED.value,)


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

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def answer(self) -> Answer | None:
        """The guard's answer."""
        return self.reply.answer if self.reply else None

    def is_given_up(self, settings: Settings) -> bool:
        """Return whether the guard has answered UNKNOWN ``ORDERS_GUARD_LIMIT`` times."""
        return self.reply is not None and self.reply.was_answered and self.unknown >= settings.guard_limit


@dataclass(slots=True)
class Dispositions:
    """The changes to make in Redis; see `plan`."""

    ends: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """How the attempt ended for each order: an `orders.store.Outcome`, what happens to it in Redis, or both."""
    settled: list[str] = field(default_factory=list)
    """Orders whose rows are final."""
    late_by: list[float] = field(default_factory=list)
    """For each order that this attempt expired, its lateness in seconds."""
    moves: list[Move] = field(default_factory=list)
    """Orders that get another score."""
    retried: list[Move] = field(default_factory=list)
    """The moves that count as an attempt."""
    letters: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Orders to bury, each with its dead letter."""
    counts: Counts = field(default_factory=dict)
    """What to add to the counters."""

    def apply(self, schedule: Schedule, lease: float) -> None:
        """Make the changes, for the orders whose lease still holds."""
        counts = self.counts  # passed with the first call only
        if self.settled:
            schedule.settle(lease, self.settled, counts)
            counts = NOTHING
        if self.moves:
            schedule.reschedule(lease, self.moves, counts)
            counts = NOTHING
        if self.letters:
            letters = [(order_id, json.dumps(letter)) for order_id, letter in self.letters.items()]
            schedule.bury(lease, letters, counts)


def plan(
    results: Mapping[str, Result],
    settings: Settings,
    outage: Exception | None,
    *,
    counts: Mapping[str, int],
    now: Callable[[], float],
    jitter: Callable[[], float],
) -> Dispositions:
    """Return the changes to make in Redis after an attempt. Nothing is changed yet.

    Args:
        results: the results of the attempt, by order id.
        settings: the settings.
        outage: the error of the server that ended the attempt, if one did.
        counts: what else to add to the counters; see `orders.schedule.counters`.
        now: returns Redis's time; called at most once.
        jitter: returns a random number from 0 to 1, to spread retries.
    """
    planner = _Planner(settings, outage, now, jitter)
    planned = planner.planned
    planned.ends = {order_id: planner.add(order_id, result) for order_id, result in results.items()}
    planned.counts = dict(counts)
    if planned.settled:
        expired = len(planned.late_by)
        planned.counts |= {EXPIRED: expired, CLOSED: len(planned.settled) - expired, **lateness(planned.late_by)}
    return planned


class _Planner:
    """Plans one order after the other."""

    def __init__(
        self, settings: Settings, outage: Exception | None, now: Callable[[], float], jitter: Callable[[], float]
    ) -> None:
        self.planned = Dispositions()
        self._settings = settings
        self._outage = outage
        self._read_clock = now
        self._jitter = jitter

    def add(self, order_id: str, result: Result) -> tuple[str, ...]:
        """Plan the change for one order; return how the attempt ended for it."""
        verdict = result.verdict
        if verdict and verdict.outcome in FINAL:
            self.planned.settled.append(order_id)
            if verdict.outcome is not Outcome.EXPIRED:
                return (verdict.outcome.value,)
            self.planned.late_by.append(-verdict.wait)
            return _EXPIRED
        if result.answer is Answer.UNKNOWN:
            return (self._ask_again(order_id, result),)
        number, limit = result.number, self._settings.max_attempts
        found = (verdict.outcome.value,) if verdict and verdict.outcome is not Outcome.DUE else ()
        if verdict and verdict.outcome is Outcome.NOT_DUE:
            self.planned.moves.append(Move(order_id, verdict.due))
            return found
        if self._outage and not result.error and number <= limit:
            self._reschedule(order_id, result, OUTAGE_BACKOFF, str(self._outage), is_counted=False)
            return (*found, "postponed")
        if number < limit:
            self._reschedule(order_id, result, backoff(number), reason(result), is_counted=True)
            return (*found, "retried")
        return (*found, self._bury(order_id, result, reason(result)))

    def _ask_again(self, order_id: str, result: Result) -> str:
        """Plan to ask the guard again. A guard that does not know is not a failed attempt."""
        reply = result.reply
        if reply is None or not reply.was_asked:
            wait = max(reply.wait if reply else 0.0, BACKOFF)
            self._reschedule(order_id, result, wait, reason(result), is_counted=False)
            return "postponed"
        if not result.is_given_up(self._settings):
            tries = max(result.unknown, result.unanswered)
            self._reschedule(order_id, result, backoff(tries), reason(result), is_counted=False)
            return "unknown"
        return self._bury(order_id, result, f"{reason(result)}; it was asked {result.unknown} times")

    def _reschedule(self, order_id: str, result: Result, seconds: float, error: str, *, is_counted: bool) -> None:
        now = self._now
        retry_at = now + seconds * (1 + self._jitter() / 2)
        asked = {"unknown": result.unknown, "unanswered": result.unanswered}
        failure = {"error": error, "at": now, "retry_at": retry_at, **{name: n for name, n in asked.items() if n}}
        move = Move(order_id, retry_at, result.number - (not is_counted), failure)
        self.planned.moves.append(move)
        if is_counted:
            self.planned.retried.append(move)

    def _bury(self, order_id: str, result: Result, why: str) -> str:
        self.planned.letters[order_id] = {"reason": why, "attempts": result.number, "buried_at": self._now}
        return "buried"

    @cached_property
    def _now(self) -> float:
        return self._read_clock()


def log(planned: Dispositions, lease: float, limit: int) -> None:
    """Log the orders that failed, and why: one line for each."""
    for move in planned.retried:
        failure = move.failure or {}
        why, retry_at, shown = failure["error"], move.due, ids.printable(move.order_id)
        fields = about("retried", [move.order_id], lease=lease, attempt=move.attempts, retry_at=retry_at, reason=why)
        message = "attempt %d of %d for order %s failed, the next one is in %.1f s: %s"
        logger.warning(message, move.attempts, limit, shown, retry_at - failure["at"], why, extra=fields)
    for order_id, letter in planned.letters.items():
        shown, number, why = ids.printable(order_id), letter["attempts"], letter["reason"]
        fields = about("buried", [order_id], lease=lease, attempt=number, reason=why)
        logger.error("buried order %s after attempt %d of %d: %s", shown, number, limit, why, extra=fields)


def reason(result: Result) -> str:
    """Return why an order is not settled, masked and shortened for Redis and the log."""
    return mask(_reason(result))[:MAX_REASON_LENGTH]


def _reason(result: Result) -> str:
    if result.error:
        return f"{type(result.error).__name__}: {result.error}"
    if result.answer is Answer.UNKNOWN and result.reply:
        return result.reply.reason
    if result.verdict:
        return result.verdict.reason
    return f"none of {result.number - 1} attempts finished: the worker process died each time"
