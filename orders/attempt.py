"""One attempt to expire orders: what a worker does with a message of the sweep.

::

    start      count the attempt; drop ids whose lease was lost meanwhile
    ask        the shop's guard, if it has one, about rows that are pending and due: outside any transaction
    update     the store changes rows that are pending and due, in one transaction, together with what hooks do
    settle     take out what is final, move what is due later, try again what failed, bury what fails for ever

Whatever is interrupted between two of these steps keeps its lease, and is claimed again when that has run out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from orders import ids
from orders.errors import (
    ConfigError,
    ExpiryFailed,
    OrdersError,
    ScheduleUnavailable,
    SchemaError,
    StoreUnavailable,
)
from orders.guarding import Guard, Reply
from orders.hooks import Answer
from orders.retrying import without_conflict
from orders.schedule import Schedule
from orders.settlement import Finding, Settlement, reason
from orders.store import OrderStore, Outcome, Verdict

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

SKEW = 0.25
"""Seconds that a worker waits for a row that is not due yet by the database's clock: what hosts' clocks differ by."""

NAMED = 10
"""Ids that a log line or an error names."""

OUTAGE = (StoreUnavailable, ScheduleUnavailable, SchemaError, ConfigError)
"""What is the fault of a server or of its set-up, and of no order."""

Decide: TypeAlias = Callable[[Sequence[str]], Mapping[str, Verdict]]
"""A method of the store that decides about orders."""


class Attempt:
    """The attempt of one worker at the orders of one message.

    Args:
        schedule: where the orders are leased.
        store: where their rows are.
        guard: asks the shop before an order is expired; None if there is nobody to ask.
        settings: the settings.
        lease: the fencing token of the message.
        sleep: waits for seconds.
        jitter: returns a number from 0 to 1, by which retries are spread.
    """

    def __init__(
        self,
        schedule: Schedule,
        store: OrderStore,
        guard: Guard | None,
        settings: Settings,
        lease: float,
        *,
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._schedule = schedule
        self._store = store
        self._guard = guard
        self._settings = settings
        self._lease = lease
        self._sleep = sleep
        self._jitter = jitter
        self._findings: dict[str, Finding] = {}
        self._waited: set[str] = set()

    def run(self, order_ids: Sequence[str]) -> dict[str, int]:
        """Do it; see `orders.expiry.OrderExpiry.expire`."""
        numbers = self._schedule.start(self._lease, order_ids)
        self._findings = {order_id: Finding(number) for order_id, number in numbers.items()}
        outage: OrdersError | None = None
        try:
            self._expire([order_id for order_id, number in numbers.items() if number <= self._settings.max_attempts])
        except OUTAGE as error:
            outage = error
        settlement = Settlement(self._findings, self._settings, outage, now=self._schedule.now, jitter=self._jitter)
        settlement.carry_out(self._schedule, self._lease)
        report = settlement.report(stale=len(order_ids) - len(numbers))
        named = ",".join(map(ids.printable, order_ids[:NAMED])) + (",…" if len(order_ids) > NAMED else "")
        logger.info("expire %s lease=%r ids=%s", report, self._lease, named)
        if outage:
            raise outage
        self._raise_failures(len(order_ids))
        return report

    def _expire(self, order_ids: Sequence[str]) -> None:
        if self._guard is None:
            self._decide(self._store.expire, order_ids)
            return
        self._decide(self._store.look, order_ids)
        due = [
            order_id
            for order_id in order_ids
            if (verdict := self._findings[order_id].verdict) and verdict.outcome is Outcome.DUE
        ]
        left = self._lease + self._settings.score_offset - self._schedule.now()
        for order_id, reply in self._guard.ask(due, lease=left).items():
            self._findings[order_id].reply = reply
        self._count_unknown([order_id for order_id in due if self._findings[order_id].answer is Answer.UNKNOWN])
        for answer, decide in ((Answer.PAID, self._store.settle_paid), (Answer.UNPAID, self._store.expire)):
            self._decide(decide, [order_id for order_id in due if self._findings[order_id].answer is answer])

    def _count_unknown(self, order_ids: Sequence[str]) -> None:
        """Count how many times in a row the guard did not know, and end it if the shop wants it to end by expiry."""
        failures = self._schedule.failures(order_ids)
        for order_id in order_ids:
            finding, before = self._findings[order_id], failures.get(order_id, {})
            reply = finding.reply or Reply(Answer.UNKNOWN, was_asked=False)
            finding.unknown = before.get("unknown", 0) + reply.was_answered
            finding.unanswered = 0 if reply.was_answered else before.get("unanswered", 0) + reply.was_asked
            if finding.is_given_up(self._settings) and self._settings.guard_end == "expire":
                logger.warning("the guard was asked %d times about %s", finding.unknown, ids.printable(order_id))
                finding.reply = Reply(Answer.UNPAID)

    def _decide(self, decide: Decide, order_ids: Sequence[str]) -> None:
        """Have the store decide: about all at once or, if that fails, about each by itself."""
        if not order_ids:
            return
        try:
            verdicts = without_conflict(partial(decide, order_ids), sleep=self._sleep, jitter=self._jitter)
        except OUTAGE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an order or its hook raises, its id must survive it
            if len(order_ids) == 1:
                finding = self._findings[order_ids[0]]
                finding.error, finding.verdict = error, None
                return
            for order_id in order_ids:
                self._decide(decide, [order_id])
            return
        for order_id, verdict in verdicts.items():
            self._findings[order_id].verdict = verdict
        self._decide(decide, self._wait_for(verdicts))

    def _wait_for(self, verdicts: Mapping[str, Verdict]) -> Sequence[str]:
        """Wait, once, for orders that are due in a moment: the next sweep would come a whole interval late."""
        early = {
            order_id: max(verdict.wait, 0.0)
            for order_id, verdict in verdicts.items()
            if verdict.outcome is Outcome.NOT_DUE and verdict.wait <= SKEW and order_id not in self._waited
        }
        if early:
            self._waited.update(early)
            self._sleep(max(early.values()))
        return list(early)

    def _raise_failures(self, tried: int) -> None:
        failed = {order_id: finding for order_id, finding in self._findings.items() if self._has_failed(finding)}
        if failed:
            first = list(failed.items())[:NAMED]
            named = "; ".join(f"{ids.printable(order_id)}: {reason(finding)}" for order_id, finding in first)
            cause = next((finding.error for finding in failed.values() if finding.error), None)
            raise ExpiryFailed(f"{len(failed)} of {tried} orders could not be expired: {named}") from cause

    def _has_failed(self, finding: Finding) -> bool:
        if finding.answer is Answer.UNKNOWN:
            return finding.is_given_up(self._settings)
        if finding.verdict is None or finding.verdict.outcome is Outcome.INVALID:
            return True
        return finding.verdict.outcome is Outcome.MISSING and finding.number >= self._settings.max_attempts
