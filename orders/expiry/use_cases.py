"""`OrderExpiry`: what applications and workers do with orders, in the schedule and in the store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from operator import call
from typing import Any, Self, TypeVar

from orders import ids
from orders.clock import Clock, SystemClock, resolve_deadline
from orders.config import Settings
from orders.errors import InvalidDeadline
from orders.expiry.attempt import Attempt
from orders.expiry.deliver import deliver, prune
from orders.expiry.dispositions import FINAL
from orders.expiry.explain import Explanation, explain_order
from orders.expiry.guard import Guard
from orders.expiry.reconcile import Reconciled, reconcile
from orders.hooks import Answer, EventHook, Hooks
from orders.ids import OrderId
from orders.schedule import NOT_REMOVED, NOT_SCHEDULED, Lease, Outages, Schedule, connect_schedule
from orders.store import Joined, OrderStore, Payment, SqlStore, State, Transactions, without_conflict

T = TypeVar("T")


class OrderExpiry:
    """Everything that an application or a worker does with orders and their deadlines. Thread-safe.

    Args:
        settings: the settings.
        schedule: the sorted set.
        store: the orders table.
        hooks: the shop's hooks.
        transactions: run callbacks after a commit; by default the store's.
        clock: the clock from whose time timeouts count.
        sleep: sleeps for a number of seconds.
        jitter: returns a random number from 0 to 1, to spread retries.
    """

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        store: OrderStore,
        *,
        hooks: Hooks | None = None,
        transactions: Transactions | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.schedule = schedule
        self.store = store
        self.hooks = hooks or Hooks()
        self.outages = Outages()
        """Counts the updates of Redis that failed after a commit."""
        self.transactions = transactions or store.transactions
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._jitter = jitter
        self._retry = partial(without_conflict, sleep=sleep, jitter=jitter)
        self._guard: Guard | None = None

    @classmethod
    def connect(cls, settings: Settings | None = None, *, hooks: Hooks | None = None) -> Self:
        """Connect to the Redis and the database of the settings, by default those of the environment."""
        settings, hooks = settings or Settings(), hooks or Hooks()
        return cls(settings, connect_schedule(settings), SqlStore(settings, hooks=hooks), hooks=hooks)

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
        session: Joined | None = None,
    ) -> datetime:
        """Schedule an order's expiry, in one round trip to Redis; see `orders.enqueue`."""
        deadline = self.deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)
        self._schedule([(ids.parse(order_id), deadline)], session)
        return deadline

    def enqueue_many(self, pairs: Iterable[tuple[OrderId, datetime | None]], *, session: Joined | None = None) -> int:
        """Schedule many orders; see `orders.enqueue_many`."""
        entries = self.entries(pairs)
        self._schedule(entries, session)
        return len(entries)

    def entries(self, pairs: Iterable[tuple[OrderId, datetime | None]]) -> list[tuple[str, datetime]]:
        """Validate ids and deadlines; return them as they are scheduled. See `orders.enqueue_many`."""
        return [(ids.parse(order_id), self.deadline(order_id, expires_at=given)) for order_id, given in pairs]

    def due_at(self, entries: Iterable[tuple[str, datetime]]) -> list[tuple[str, float]]:
        """Return with each id when it is due: its deadline plus the grace, in Unix seconds."""
        grace = self.settings.grace
        return [(order_id, deadline.timestamp() + grace) for order_id, deadline in entries]

    instants = due_at  # its name before

    def extend(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
        context: Mapping[str, Any] | None = None,
        session: Joined | None = None,
    ) -> bool:
        """Give a pending order another deadline; see `orders.extend`."""
        deadline = self.deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)
        extend = partial(self.store.extend, ids.parse(order_id), deadline, session=session)
        extended = self._run_for(session)(extend)
        if extended is not None:
            self._schedule([(extended, deadline)], session)
        return extended is not None

    def pay(self, order_id: OrderId, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending; see `orders.pay`."""
        pay = partial(self.store.pay, ids.parse(order_id), reference=reference, session=session)
        payment = self._run_for(session)(pay)
        if payment.is_final:
            self._settled(payment.order_id, session)
        return payment

    def check(self, order_id: OrderId) -> State:
        """Expire an order now if it is overdue; return its state. See `orders.check`."""
        order_id = ids.parse(order_id)
        state = self._state(order_id)
        if state is not State.OVERDUE:
            return state
        answer = self.guard.ask([order_id])[order_id].answer if self.guard else Answer.UNPAID
        if answer is Answer.UNKNOWN:
            return state
        decide = self.store.settle_paid if answer is Answer.PAID else self.store.expire
        verdict = self._run_for(None)(partial(decide, [order_id]))[order_id]
        if verdict.outcome in FINAL:
            self._settled(order_id, None)
        return self._state(order_id)

    def remove(self, order_id: OrderId, *, session: Joined | None = None) -> bool:
        """Remove an order from the schedule; see `orders.remove`."""
        order_id, removed = ids.parse(order_id), list[int]()
        self._update(lambda: removed.append(self.schedule.remove([order_id])), [order_id], session, NOT_REMOVED)
        return sum(removed) > 0

    def expire(self, order_ids: Iterable[str], lease: float, *, shard: int | None = None) -> dict[str, int]:
        """Make one attempt to expire orders that a sweep has claimed.

        Args:
            order_ids: the ids from the schedule.
            lease: the fencing token of the claim, as a score.
            shard: the shard in which the lease holds; see `orders.schedule.Lease`.

        Returns:
            The number of orders by how the attempt ended: an `orders.store.Outcome`, "stale" (the lease was lost),
            "retried", "postponed", "unknown" (the guard does not know), "buried".

        Raises:
            ExpiryFailed: some orders could not be expired. They are rescheduled or buried.
            StoreUnavailable: the database is unreachable. All orders are rescheduled; the attempt is not counted.
            SchemaError: the orders table is unsuitable. All orders are rescheduled; the attempt is not counted.
            ConfigError: the driver is not installed. All orders are rescheduled; the attempt is not counted.
            ScheduleError: Redis failed. Orders that are not settled are claimed again when their lease ends.
        """
        order_ids = list(order_ids)
        attempt = self.attempt(Lease(lease, shard))
        attempt.start(order_ids)
        attempt.run()
        return attempt.end(order_ids)

    def attempt(self, lease: Lease) -> Attempt:
        """Return an attempt for one lease: the steps of `expire`, for a caller with several messages."""
        return Attempt(
            self.schedule.shard(lease.shard),
            self.store,
            self.guard,
            self.settings,
            lease.token,
            sleep=self._sleep,
            jitter=self._jitter,
        )

    def deliver(self, *, is_over: Callable[[], bool] = lambda: False) -> dict[str, int]:
        """Deliver events to the handlers; see `orders.expiry.deliver.deliver`."""
        handlers = self._event_hooks()
        return deliver(self.store, handlers, self.settings, is_over=is_over, sleep=self._sleep, jitter=self._jitter)

    def prune(self, *, is_over: Callable[[], bool] = lambda: False) -> int:
        """Delete old events; see `orders.expiry.deliver.prune`."""
        return prune(self.store, self.settings, keep_undelivered=bool(self.hooks.event_hooks), is_over=is_over)

    def reconcile(
        self,
        *,
        everything: bool = False,
        dry_run: bool = False,
        progress: Callable[[Reconciled], None] = lambda _: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Reconciled:
        """Schedule the missing pending rows; see `orders.expiry.reconcile.reconcile`."""
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
        """Return what is known about an order and what will happen to it next; see `orders.explain`."""
        return explain_order(ids.parse(order_id), self.schedule, self.store, self.settings)

    def close(self) -> None:
        """Close the connections to Redis and to the database."""
        self.schedule.close()
        self.store.close()

    @property
    def guard(self) -> Guard | None:
        """The shop's guard with its breaker; None if no guard is registered yet."""
        if self._guard is None and self.hooks.guard_hook:
            self._guard = Guard(self.transactions.in_thread(self.hooks.guard_hook), self.settings)
        return self._guard

    @guard.setter
    def guard(self, guard: Guard) -> None:
        self._guard = guard

    def _event_hooks(self) -> Sequence[EventHook]:
        hooks = self.hooks.event_hooks
        return hooks if self.settings.events_parallel == 1 else list(map(self.transactions.in_thread, hooks))

    def _state(self, order_id: str) -> State:
        row = self.store.row(order_id)
        return row.state if row else State.MISSING

    def _run_for(self, session: Joined | None) -> Callable[[Callable[[], T]], T]:
        """Return a function that runs a transaction and, unless it is the caller's, repeats it after a conflict."""
        return call if self.transactions.is_joined(session) else self._retry

    def _schedule(self, entries: Sequence[tuple[str, datetime]], session: Joined | None) -> None:
        order_ids = [order_id for order_id, _ in entries]
        self._update(lambda: self.schedule.enqueue(self.due_at(entries)), order_ids, session, NOT_SCHEDULED)

    def _update(
        self, update: Callable[[], object], order_ids: Sequence[str], session: Joined | None, consequence: str
    ) -> None:
        """Update the schedule: now or, in the caller's transaction, after its commit."""
        forgives = self.transactions.forgives(session)
        self.transactions.after_commit(session, self._forgiven(update, order_ids, consequence) if forgives else update)

    def _settled(self, order_id: str, session: Joined | None) -> None:
        """Remove a final order from the schedule. If Redis fails, a worker removes it at the deadline."""
        remove = partial(self.schedule.remove, [order_id])
        self.transactions.after_commit(session, self._forgiven(remove, [order_id], NOT_REMOVED))

    def _forgiven(self, update: Callable[[], object], order_ids: Sequence[str], consequence: str) -> Callable[[], None]:
        """Return *update* with errors of Redis logged and counted instead of raised."""

        def try_to_update() -> None:
            with self.outages.forgiven(order_ids, consequence):
                update()

        return try_to_update
