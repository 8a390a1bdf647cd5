"""The use cases: what joins the schedule and the store. The only place that knows both."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar

from orders import ids
from orders.attempt import Attempt
from orders.clock import Clock, SystemClock, resolve_deadline
from orders.config import Settings
from orders.delivery import deliver, prune
from orders.errors import InvalidDeadline, ScheduleError
from orders.explanation import Explanation, explain
from orders.gathering import Gathering
from orders.guarding import Guard
from orders.hooks import Answer, Hooks
from orders.ids import OrderId
from orders.reconciling import Reconciled, reconcile
from orders.retrying import without_conflict
from orders.schedule import Schedule
from orders.settlement import FINAL
from orders.sql import SqlStore
from orders.store import Joined, OrderStore, Payment, State

T = TypeVar("T")

logger = logging.getLogger(__name__)


class OrderExpiry:
    """Everything that an application or a worker does with orders and their deadlines. Safe to share by threads.

    Args:
        settings: the settings.
        schedule: the sorted set.
        store: the orders table.
        hooks: what the shop adds.
        clock: tells from when timeouts count.
        sleep: waits for seconds.
        jitter: a number from 0 to 1, by which retries are spread.
    """

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        store: OrderStore,
        *,
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.schedule = schedule
        self.store = store
        self.hooks = hooks or Hooks()
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._jitter = jitter
        self._guard: Guard | None = None
        self._gathering = Gathering(self._attempt)

    @classmethod
    def connect(cls, settings: Settings | None = None, *, hooks: Hooks | None = None) -> Self:
        """Return the use cases on the Redis and the database of the settings, by default the environment's."""
        settings, hooks = settings or Settings(), hooks or Hooks()
        return cls(settings, Schedule.connect(settings), SqlStore(settings, hooks=hooks), hooks=hooks)

    def deadline(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> datetime:
        """Return the deadline that `enqueue` would schedule; see `orders.deadline`."""
        resolve = partial(resolve_deadline, self._clock, default=self.settings.timeout)
        if expires_at is not None or timeout is not None or self.hooks.rule is None:
            return resolve(expires_at=expires_at, timeout=timeout)
        ruled = self.hooks.rule(ids.parse(order_id), context or {})
        try:
            if isinstance(ruled, datetime):
                return resolve(expires_at=ruled, timeout=None)
            return resolve(expires_at=None, timeout=ruled)
        except InvalidDeadline as error:
            raise InvalidDeadline(f"the deadline rule of the shop returned {ruled!r}: {error}") from error

    def enqueue(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> datetime:
        """Schedule an order's expiry, in one round trip to Redis; see `orders.enqueue`."""
        deadline = self.deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)
        self._put([(ids.parse(order_id), deadline)])
        return deadline

    def enqueue_many(self, pairs: Iterable[tuple[OrderId, datetime | None]]) -> int:
        """Schedule many orders; see `orders.enqueue_many`."""
        entries = [(ids.parse(order_id), self.deadline(order_id, expires_at=moment)) for order_id, moment in pairs]
        self._put(entries)
        return len(entries)

    def extend(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
        context: Mapping[str, Any] | None = None,
        session: Joined | None = None,
    ) -> bool:
        """Give a pending order another deadline, in its row and in the schedule; see `orders.extend`."""
        member = ids.parse(order_id)
        deadline = self.deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)
        extend = partial(
            self.store.extend,
            member,
            deadline,
            joined=session,
            after_commit=lambda known_as: self._put([(known_as, deadline)]),
        )
        return extend() if session is not None else self._without_conflict(extend)

    def pay(self, order_id: OrderId, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending, and take it out of the schedule; see `orders.pay`."""
        pay = partial(
            self.store.pay, ids.parse(order_id), reference=reference, joined=session, after_commit=self._forget
        )
        return pay() if session is not None else self._without_conflict(pay)

    def check(self, order_id: OrderId) -> State:
        """Expire an order here and now if it is overdue; tell what it is. See `orders.check`."""
        member = ids.parse(order_id)
        state = self._state(member)
        if state is not State.OVERDUE:
            return state
        answer = self.guard.ask([member])[member].answer if self.guard else Answer.UNPAID
        if answer is Answer.UNKNOWN:
            return state
        decide = self.store.settle_paid if answer is Answer.PAID else self.store.expire
        verdict = self._without_conflict(lambda: decide([member]))[member]
        if verdict.outcome in FINAL:
            self._forget(member)
        return self._state(member)

    def remove(self, order_id: OrderId) -> bool:
        """Take an order out of the schedule; see `orders.remove`."""
        return self.schedule.remove([ids.parse(order_id)]) > 0

    def expire(self, order_ids: Iterable[str], lease: float) -> dict[str, int]:
        """Expire orders that a sweep has claimed, perhaps in one transaction with those of other threads.

        Args:
            order_ids: ids as the schedule has them.
            lease: the fencing token of the claim, as a score.

        Returns:
            How many orders ended how: an `orders.store.Outcome`, "stale" if the lease was lost, "retried", "buried".

        Raises:
            ExpiryFailed: some orders could not be expired. They are scheduled for another attempt, or buried.
            StoreUnavailable: the database could not do it now. All are scheduled for another attempt, and this one
                does not count.
            SchemaError: its table cannot serve. Likewise.
            ConfigError: its driver is not installed. Likewise.
            ScheduleError: Redis failed. What is not settled is claimed again when its lease has run out.
        """
        return self._gathering.expire(list(order_ids), lease)

    def deliver(self, *, is_over: Callable[[], bool] = lambda: False) -> dict[str, int]:
        """Deliver events to the handlers; see `orders.delivery.deliver`."""
        return deliver(
            self.store,
            self.hooks.event_hooks,
            self.settings,
            is_over=is_over,
            sleep=self._sleep,
            jitter=self._jitter,
        )

    def prune(self, *, is_over: Callable[[], bool] = lambda: False) -> int:
        """Delete events that are older than their retention; see `orders.delivery.prune`."""
        return prune(self.store, self.settings, keep_undelivered=bool(self.hooks.event_hooks), is_over=is_over)

    def reconcile(
        self,
        *,
        everything: bool = False,
        dry_run: bool = False,
        progress: Callable[[Reconciled], None] = lambda _: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Reconciled:
        """Schedule pending rows that the schedule lacks; see `orders.reconciling.reconcile`."""
        return reconcile(
            self.schedule,
            self.store,
            self.settings,
            everything=everything,
            dry_run=dry_run,
            progress=progress,
            is_over=is_over,
        )

    def explain(self, order_id: OrderId) -> Explanation:
        """Tell what is known about an order, and what will happen to it next; see `orders.explain`."""
        return explain(ids.parse(order_id), self.schedule, self.store, self.settings)

    def close(self) -> None:
        """Close the connections to Redis and to the database."""
        self.schedule.close()
        self.store.close()

    @property
    def guard(self) -> Guard | None:
        """The shop's guard with its breaker, if it has one by now."""
        if self._guard is None and self.hooks.guard_hook:
            self._guard = Guard(self.hooks.guard_hook, self.settings)
        return self._guard

    @guard.setter
    def guard(self, guard: Guard) -> None:
        self._guard = guard

    def _attempt(self, lease: float) -> Attempt:
        return Attempt(
            self.schedule, self.store, self.guard, self.settings, lease, sleep=self._sleep, jitter=self._jitter
        )

    def _state(self, member: str) -> State:
        row = self.store.row(member)
        return row.state if row else State.MISSING

    def _put(self, entries: Iterable[tuple[str, datetime]]) -> None:
        grace = self.settings.grace
        self.schedule.enqueue((member, deadline.timestamp() + grace) for member, deadline in entries)

    def _forget(self, member: str) -> None:
        """Take an order out of the schedule whose row is final. If Redis fails, a worker does it at the deadline."""
        try:
            self.schedule.remove([member])
        except ScheduleError as error:
            logger.warning("the order %s stays in the schedule until its deadline: %s", member, error)

    def _without_conflict(self, call: Callable[[], T]) -> T:
        return without_conflict(call, sleep=self._sleep, jitter=self._jitter)
