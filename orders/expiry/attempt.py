"""One attempt to expire orders: what a worker does with a message of the sweep.

::

    start      count the attempt; drop ids whose lease was lost; count nothing if the schedule is paused
    ask        ask the shop's guard, if there is one, about rows that are pending and due, outside any transaction
    update     change the rows that are pending and due and call the hooks, in one transaction
    remind     record the reminders of rows that are pending and not due yet (`orders.expiry.remind`)
    settle     update Redis: settle, move, reschedule or bury each order (`orders.expiry.dispositions`)

The schedule may be paused at any time. What has not started then only looks at the rows, to give the orders back; and
the update changes no row, whatever the attempt has waited for before.

If the process dies between two steps, the orders keep their lease. A sweep claims them again when it ends.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, TypeAlias

from orders import ids, tracing
from orders.errors import ConfigError, ExpiryFailed, OrdersError, ScheduleUnavailable, SchemaError, StoreUnavailable
from orders.expiry.dispositions import log, plan, reason
from orders.expiry.guard import Guard, Reply
from orders.expiry.remind import Reminding
from orders.expiry.result import FINAL, SOON, Result
from orders.hooks import Answer
from orders.logs import about
from orders.schedule import ANSWERS, KEPT, NO_ANSWER, PAUSED, TRIED_BEFORE, Schedule
from orders.store import UNCHANGED, OrderStore, Outcome, Verdict, without_conflict

if TYPE_CHECKING:
    from opentelemetry.trace import SpanContext

    from orders.config import Settings

logger = logging.getLogger(__name__)

NAMED = 10
"""The most orders that an error message names."""

STALE = ("stale",)
"""How an attempt ends for an order whose lease was lost."""

OUTAGE = (StoreUnavailable, ScheduleUnavailable, SchemaError, ConfigError)
"""Errors of a server or its configuration, for which no order is to blame."""

Decide: TypeAlias = Callable[[Sequence[str]], Mapping[str, Verdict]]
"""A method of the store that returns a verdict for each order."""


class Attempt:
    """One attempt to expire the orders of one message, or of several with the same lease.

    Args:
        schedule: the schedule, or the shard, in which the orders are leased.
        store: the orders table.
        guard: the shop's guard; None without one.
        settings: the settings.
        lease: the fencing token of the message.
        sleep: sleeps for a number of seconds.
        jitter: returns a random number from 0 to 1, to spread retries.
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
        self._order_ids: Sequence[str] = ()
        self._results: dict[str, Result] = {}
        self._ends: Mapping[str, Sequence[str]] = {}
        self._failed: Mapping[str, Result] = {}
        self._counts: Counter[str] = Counter()
        self._waited: set[str] = set()
        self._overdue: dict[str, float] = {}
        self._outage: OrdersError | None = None
        self._is_paused = False
        self.tried_before: frozenset[str] = frozenset()
        """The orders that `start` left out."""
        self.span: SpanContext | None = None
        """The span of the attempt, if it is traced."""

    def start(self, order_ids: Sequence[str], *, only_new: bool = False) -> None:
        """Count the attempt at each order whose lease still holds. `run` processes only these.

        Args:
            order_ids: the orders.
            only_new: leave out orders that were tried before, and put them into `tried_before`.

        Raises:
            ScheduleError: Redis failed.
        """
        self._order_ids = order_ids
        numbers = self._schedule.start(self._lease, order_ids, only_new=only_new)
        self.tried_before = frozenset(order_id for order_id, number in numbers.items() if number == TRIED_BEFORE)
        self._is_paused = min(numbers.values(), default=0) <= PAUSED
        if self._is_paused:  # what was started before the pause came, as a part of a large batch, is given back too
            numbers = {id_: PAUSED + 1 - number if number < 0 else number for id_, number in numbers.items()}
        self._results = {order_id: Result(number) for order_id, number in numbers.items() if number > 0}

    def run(self) -> None:
        """Do the steps after `start`; `end` returns the result.

        Raises:
            ScheduleError: Redis failed.
        """
        settings, limit = self._settings, self._settings.max_attempts
        with (
            self._store.transactions.worker(),
            tracing.attempt(list(self._results), self._schedule.traces) as self.span,
        ):
            order_ids = [order_id for order_id, result in self._results.items() if result.number <= limit]
            # Of the others each worker has died, but one may have done so, or lost its lease, after its commit.
            abandoned = [] if self._is_paused else [id_ for id_, found in self._results.items() if found.number > limit]
            try:
                if self._is_paused:
                    self._give_back()
                elif self._guard is None:
                    self._decide(self._store.expire, order_ids)
                else:
                    self._ask(self._guard, order_ids)
                self._decide(self._store.look, abandoned)
            except OUTAGE as error:
                self._outage = error
            if settings.remind:
                reminding = Reminding(self._store, settings, sleep=self._sleep, jitter=self._jitter)
                self._outage, reminded = reminding.run(self._results, self._outage)
                self._counts += reminded
            self._count_kept()
            dispositions = plan(
                self._results, settings, self._outage, counts=self._counts, now=self._schedule.now, jitter=self._jitter
            )
            self._ends = dispositions.ends
            if len(dispositions.settled) < len(self._results):
                self._failed = {id_: result for id_, result in self._results.items() if result.has_failed(settings)}
            dispositions.apply(self._schedule, self._lease)
            log(dispositions, self._lease, limit)
            if logger.isEnabledFor(logging.INFO):
                self._log([order_id for order_id in self._order_ids if order_id not in self.tried_before])

    def end(self, order_ids: Sequence[str]) -> dict[str, int]:
        """Return how the attempt ended for some of its orders; see `orders.expiry.OrderExpiry.expire`.

        Raises:
            OrdersError: a server failed, or some of these orders did.
        """
        if self._outage:
            raise self._outage.anew()
        self._raise_failures(order_ids)
        return self._report(order_ids)

    def _log(self, order_ids: Sequence[str]) -> None:
        if order_ids:
            report, named = self._report(order_ids), ",".join(ids.all_printable(order_ids))
            fields = about("attempt", order_ids, lease=self._lease, outcomes=report)
            logger.info("expire %s lease=%r ids=%s", report, self._lease, named, extra=fields)

    def _report(self, order_ids: Sequence[str]) -> dict[str, int]:
        report: Counter[str] = Counter()
        for ends, number in Counter(map(self._ends.get, order_ids, repeat(STALE))).items():
            for end in ends:
                report[end] += number
        return dict(report)

    def _give_back(self) -> None:
        """Look at orders that were not started, because the schedule is paused: only final ones are settled."""
        found: Mapping[str, Verdict] = {}
        with suppress(OrdersError):  # even if the database is down, the orders are given back
            found = self._store.look(list(self._results))
        now = self._schedule.now()
        for order_id, result in self._results.items():
            verdict = found.get(order_id, Verdict(Outcome.PAUSED))
            due, wait = (verdict.due, verdict.wait) if verdict.due else (now, 0.0)
            result.verdict = verdict if verdict.outcome in FINAL else Verdict(Outcome.PAUSED, due, wait)

    def _ask(self, guard: Guard, order_ids: Sequence[str]) -> None:
        """Ask the guard about orders that are pending and due, and apply its answers in the store."""
        self._decide(self._store.look, order_ids)
        due = [
            order_id
            for order_id in order_ids
            if (verdict := self._results[order_id].verdict) and verdict.outcome is Outcome.DUE
        ]
        with guard.turn:
            now = self._schedule.now()
            replies = guard.ask(due, lease=self._lease + self._settings.score_offset - now)
        for order_id, reply in replies.items():
            self._results[order_id].reply = reply.still_valid(now)
            self._counts[ANSWERS[reply.answer if reply.was_answered else NO_ANSWER]] += 1
        self._count_unknown([order_id for order_id in due if self._results[order_id].answer is Answer.UNKNOWN])
        for answer, decide in ((Answer.PAID, self._store.settle_paid), (Answer.UNPAID, self._store.expire)):
            self._decide(decide, [order_id for order_id in due if self._results[order_id].answer is answer])
        for order_id in due:
            if self._results[order_id].answer is Answer.LATER:
                self._decide(partial(self._postpone, now), [order_id])

    def _postpone(self, now: float, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Move the deadline of an order to the time of the guard's LATER."""
        [order_id] = order_ids
        reply = self._results[order_id].reply
        if reply and reply.until and (held := self._store.hold(order_id, reply.until, by="guard")):
            due = held.deadline.timestamp() + self._settings.grace
            return {order_id: Verdict(Outcome.NOT_DUE, due, wait=due - now)}
        return self._store.look(order_ids)

    def _count_unknown(self, order_ids: Sequence[str]) -> None:
        """Count how often the guard answered UNKNOWN; at the limit, follow ``ORDERS_GUARD_END``."""
        failures = self._schedule.failures(order_ids)
        for order_id in order_ids:
            result, before = self._results[order_id], failures.get(order_id, {})
            reply = result.reply or Reply(Answer.UNKNOWN, was_asked=False)
            result.unknown = before.get("unknown", 0) + reply.was_answered
            result.unanswered = 0 if reply.was_answered else before.get("unanswered", 0) + reply.was_asked
            if result.is_given_up(self._settings) and self._settings.guard_end == "expire":
                fields = about("guard_ended", [order_id], lease=self._lease, asked=result.unknown)
                message = "the guard answered unknown %d times for order %s: it is expired (ORDERS_GUARD_END=expire)"
                logger.warning(message, result.unknown, ids.printable(order_id), extra=fields)
                result.reply = Reply(Answer.UNPAID)

    def _count_kept(self) -> None:
        """Count how often the shop's condition has kept each order in a row."""
        kept = [id_ for id_, result in self._results.items() if result.is_kept]
        before = self._schedule.failures(kept)
        for order_id in kept:
            self._results[order_id].kept = before.get(order_id, {}).get("kept", 0) + 1
        if kept:
            self._counts[KEPT] += len(kept)

    def _decide(self, decide: Decide, order_ids: Sequence[str]) -> None:
        """Have the store decide about all orders at once or, if that fails, about each one separately."""
        if not order_ids:
            return
        try:
            verdicts = without_conflict(partial(decide, order_ids), sleep=self._sleep, jitter=self._jitter)
        except OUTAGE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an order or a hook raises, the id must stay in the schedule
            if len(order_ids) == 1:
                result = self._results[order_ids[0]]
                result.error, result.verdict = error, None
                return
            for order_id in order_ids:
                self._decide(decide, [order_id])
            return
        for order_id, verdict in verdicts.items():
            self._results[order_id].verdict = verdict
        self._decide(decide, self._wait_for(verdicts))

    def _wait_for(self, verdicts: Mapping[str, Verdict]) -> Sequence[str]:
        """Wait once for orders that are due `SOON`, and return them: the next sweep would be too late.

        An order that was overdue before this update, and still is with the same deadline, has failed: waiting does not
        help it.
        """
        early: dict[str, float] = {}
        for order_id, verdict in verdicts.items():
            if verdict.outcome is not Outcome.NOT_DUE or verdict.wait > SOON:
                continue
            if self._overdue.get(order_id) == verdict.due:
                self._results[order_id].verdict = verdict._replace(outcome=Outcome.DUE, reason=UNCHANGED)
            elif verdict.wait <= 0.0:
                self._overdue[order_id] = verdict.due
                early[order_id] = 0.0
            elif order_id not in self._waited:
                self._waited.add(order_id)
                early[order_id] = verdict.wait
        if early:
            self._sleep(max(early.values()))
        return list(early)

    def _raise_failures(self, order_ids: Sequence[str]) -> None:
        failed = [(order_id, self._failed[order_id]) for order_id in order_ids if order_id in self._failed]
        if failed:
            named = "; ".join(f"{ids.printable(order_id)}: {reason(result)}" for order_id, result in failed[:NAMED])
            cause = next((result.error for _, result in failed if result.error), None)
            raise ExpiryFailed(f"{len(failed)} of {len(order_ids)} orders could not be expired: {named}") from cause
