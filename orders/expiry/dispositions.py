"""Decide what happens to orders in Redis after an attempt: a table of outcomes, as code.

`plan` decides and changes nothing. `Dispositions.apply` changes Redis, for the orders whose lease still holds.

=================================== ==========================================================================
what the attempt found              what happens in Redis
=================================== ==========================================================================
the row was changed, or was final   settled: the id is removed from the schedule
pending, due later                  moved: the score becomes its next reminder (``ORDERS_REMIND``) or that deadline
its reminder could not be recorded  rescheduled after `OUTAGE_BACKOFF`; no attempt is counted
pending, the schedule is paused     given back: the score becomes its deadline, or the reminder that has passed; no
                                    attempt is counted
kept by the shop's condition        rescheduled with backoff from `KEPT_BACKOFF`, without limit; no attempt is counted
no such row                         rescheduled with backoff (it may not be committed yet), then settled
the guard answered UNKNOWN          rescheduled with backoff, then ``ORDERS_GUARD_END``; no attempt is counted
the guard gave no answer            rescheduled with backoff, without limit; no attempt is counted
the guard was not asked             rescheduled after the breaker's pause; no attempt is counted
a server failed                     rescheduled after `OUTAGE_BACKOFF`; no attempt is counted
a hook raised, or the id is invalid rescheduled with backoff, then buried
the UPDATE did not change a due row rescheduled with backoff, then buried
each worker died, and it is due     buried
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
from orders.expiry.result import FINAL, Result
from orders.hooks import Answer
from orders.logs import about
from orders.schedule import CLOSED, EXPIRED, MISSING, NOTHING, Counts, Move, Schedule, lateness
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


KEPT_BACKOFF = 60.0
"""Seconds after which the shop's condition is looked at again, doubled each time it keeps the order."""

MAX_KEPT_BACKOFF = 3600.0
"""The longest time between two looks at the shop's condition, in seconds."""


def backoff(number: int, first: float = BACKOFF, longest: float = MAX_BACKOFF) -> float:
    """Return the seconds between a failed try and the next one, without jitter.

    Args:
        number: the number of the failed try, from 1.
        first: the seconds after the first try.
        longest: the most seconds.
    """
    return min(first * 2.0 ** min(number - 1, 30), longest)


_EXPIRED = (Outcome.EXPIRED.value,)

_NOT_YET = (Outcome.NOT_DUE, Outcome.REMINDED, Outcome.PAUSED)


@dataclass(slots=True)
class Dispositions:
    """The changes to make in Redis; see `plan`."""

    ends: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """How the attempt ended for each order: an `orders.store.Outcome`, what happens to it in Redis, or both."""
    settled: list[str] = field(default_factory=list)
    """Orders whose rows are final or deleted."""
    deleted: list[str] = field(default_factory=list)
    """Those of them that have no row, after so many attempts that its transaction cannot still be open."""
    paid: int = 0
    """How many of them this attempt has marked as paid, because the guard said so."""
    late_by: list[float] = field(default_factory=list)
    """For each order that this attempt expired, its lateness in seconds."""
    moves: list[Move] = field(default_factory=list)
    """Orders that get another score."""
    retried: list[tuple[Move, int]] = field(default_factory=list)
    """The moves that count as an attempt, each with the level of its log line."""
    letters: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Orders to bury, each with its dead letter."""
    counts: Counts = field(default_factory=dict)
    """What to add to the counters."""

    def apply(self, schedule: Schedule, lease: float) -> None:
        """Make the changes, for the orders whose lease still holds."""
        counts = self.counts  # passed with the first call only
        if self.settled:
            schedule.settle(lease, self.settled, counts, paid=self.paid)
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
        expired, deleted = len(planned.late_by), len(planned.deleted)
        closed = len(planned.settled) - expired - deleted
        planned.counts |= {EXPIRED: expired, CLOSED: closed, **lateness(planned.late_by)}
        if deleted:
            planned.counts[MISSING] = deleted
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
                self.planned.paid += verdict.outcome is Outcome.PAID
                return (verdict.outcome.value,)
            self.planned.late_by.append(-verdict.wait)
            return _EXPIRED
        if result.answer is Answer.UNKNOWN:
            return (self._ask_again(order_id, result),)
        if result.is_kept:
            wait = backoff(result.kept, KEPT_BACKOFF, MAX_KEPT_BACKOFF)
            self._reschedule(order_id, result, wait, reason(result), is_counted=False)
            return (Outcome.KEPT.value,)
        number, limit = result.number, self._settings.max_attempts
        found = (verdict.outcome.value,) if verdict and verdict.outcome is not Outcome.DUE else ()
        if verdict and verdict.outcome in _NOT_YET and not result.lacks_reminder:
            self._move(order_id, verdict, number)
            return found
        if result.lacks_reminder or (self._outage and not result.error):
            why = reason(result) if result.error else str(self._outage)
            self._reschedule(order_id, result, OUTAGE_BACKOFF, why, is_counted=False)
            return (*found, "postponed")
        if number < limit:
            self._reschedule(order_id, result, backoff(number), reason(result), is_counted=True)
            return (*found, "retried")
        return (*found, *self._give_up(order_id, result))

    def _move(self, order_id: str, verdict: Verdict, number: int) -> None:
        """Plan when to look at an order next that is pending, and not due or paused."""
        is_paused, reminders = verdict.outcome is Outcome.PAUSED, self._settings.reminders
        look = reminders.missed_look if is_paused else reminders.next_look
        due = look(verdict.due, verdict.wait)
        self.planned.moves.append(Move(order_id, due, number - 1 if is_paused else 0, keeps_failure=is_paused))

    def _give_up(self, order_id: str, result: Result) -> tuple[str, ...]:
        """Plan the end after the last attempt: an order without a row is settled, any other is buried."""
        if result.verdict and result.verdict.outcome is Outcome.MISSING:
            self.planned.settled.append(order_id)
            self.planned.deleted.append(order_id)
            return ()
        return (self._bury(order_id, result, reason(result)),)

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
        return self._bury(
            order_id,
            result,
            f"{reason(result)}; it was asked {'once' if result.unknown == 1 else f'{result.unknown} times'}",
        )

    def _reschedule(self, order_id: str, result: Result, seconds: float, error: str, *, is_counted: bool) -> None:
        now = self._now
        retry_at = now + seconds * (1 + self._jitter() / 2)
        counts = {"unknown": result.unknown, "unanswered": result.unanswered, "kept": result.kept}
        failure = {"error": error, "at": now, "retry_at": retry_at, **{name: n for name, n in counts.items() if n}}
        move = Move(order_id, retry_at, result.number - (not is_counted), failure)
        self.planned.moves.append(move)
        if is_counted:
            is_missing = result.verdict is not None and result.verdict.outcome is Outcome.MISSING
            self.planned.retried.append((move, logging.INFO if is_missing else logging.WARNING))

    def _bury(self, order_id: str, result: Result, why: str) -> str:
        self.planned.letters[order_id] = {"reason": why, "attempts": result.number, "buried_at": self._now}
        return "buried"

    @cached_property
    def _now(self) -> float:
        return self._read_clock()


def log(planned: Dispositions, lease: float, limit: int) -> None:
    """Log the orders that failed or have no row, and why: one line for each."""
    for order_id in planned.deleted:
        fields = about("deleted", [order_id], lease=lease, attempt=limit)
        message = "order %s has no row after %d attempts: it leaves the schedule"
        logger.info(message, ids.printable(order_id), limit, extra=fields)
    for move, level in planned.retried:
        failure = move.failure or {}
        why, retry_at, shown = failure["error"], move.due, ids.printable(move.order_id)
        fields = about("retried", [move.order_id], lease=lease, attempt=move.attempts, retry_at=retry_at, reason=why)
        message = "attempt %d of %d for order %s failed, the next one is in %.1f s: %s"
        logger.log(level, message, move.attempts, limit, shown, retry_at - failure["at"], why, extra=fields)
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
    if result.verdict and (result.verdict.reason or result.verdict.outcome is not Outcome.DUE):
        return result.verdict.reason
    if result.number == 2:
        return "the only attempt did not finish: the worker process died"
    return f"none of {result.number - 1} attempts finished: the worker process died each time"
