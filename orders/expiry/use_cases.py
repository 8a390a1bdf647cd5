"""`OrderExpiry`: what applications and workers do with orders, in the schedule and in the store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Self, TypeVar

from orders import ids
from orders.arguments import check_type, pairs_of
from orders.clock import Clock, SystemClock, from_now
from orders.config import Settings
from orders.expiry.attempt import Attempt
from orders.expiry.deadlines import decide_deadline
from orders.expiry.deliver import deliver, prune
from orders.expiry.explain import Explanation, explain_order
from orders.expiry.guard import Guard, Reply
from orders.expiry.ownership import Ownership
from orders.expiry.reconcile import Reconciled, reconcile
from orders.expiry.updates import ScheduleUpdates
from orders.expiry.webhooks import Round
from orders.hooks import Answer, EventHook, Hooks
from orders.ids import OrderId
from orders.schedule import Lease, Outages, Schedule, connect_schedule
from orders.store import Joined, OrderStore, Payment, SqlStore, State, TableAltered, Transactions, without_conflict

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
        check_type("hooks", hooks, Hooks | None)
        self.settings = settings
        self.schedule = schedule
        self.store = store
        self.hooks = hooks or Hooks()
        self.transactions = transactions or store.transactions
        self.ownership = Ownership(schedule, store, settings)
        self._updates = ScheduleUpdates(schedule, self.transactions)
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._jitter = jitter
        self.retry = partial(without_conflict, sleep=sleep, jitter=jitter)
        self._guard: Guard | None = None

    @classmethod
    def connect(cls, settings: Settings | None = None, *, hooks: Hooks | None = None) -> Self:
        """Connect to the Redis and the database of the settings, by default those of the environment."""
        check_type("settings", settings, Settings | None)
        settings, hooks = settings or Settings(), Hooks() if hooks is None else hooks
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
        decide = partial(decide_deadline, hooks=self.hooks, clock=self._clock, settings=self.settings)
        return decide(ids.parse(order_id), (expires_at, timeout), context)

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
        self._updates.enqueue(self.due_at([(ids.parse(order_id), deadline)]), session)
        return deadline

    def enqueue_many(self, pairs: Iterable[tuple[OrderId, datetime | None]], *, session: Joined | None = None) -> int:
        """Schedule many orders; see `orders.enqueue_many`."""
        entries = self.entries(pairs)
        self._updates.enqueue(self.due_at(entries), session)
        return len(entries)

    def entries(self, pairs: Iterable[tuple[OrderId, datetime | None]]) -> list[tuple[str, datetime]]:
        """Validate ids and deadlines; return them as they are scheduled. See `orders.enqueue_many`."""
        return [(ids.parse(order_id), self.deadline(order_id, expires_at=given)) for order_id, given in pairs_of(pairs)]

    def due_at(self, entries: Iterable[tuple[str, datetime]]) -> list[tuple[str, float]]:
        """Return with each id when to look at it, in Unix seconds: at its next reminder, or once it is due."""
        grace, reminders = self.settings.grace, self.settings.reminders
        dues = [(order_id, deadline.timestamp() + grace) for order_id, deadline in entries]
        if not reminders.before:
            return dues
        now = self._clock.now().timestamp()
        return [(order_id, reminders.next_look(due, due - now)) for order_id, due in dues]

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
            self._updates.enqueue(self.due_at([(extended, deadline)]), session)
        return extended is not None

    def hold(self, order_id: OrderId, seconds: float | timedelta, *, session: Joined | None = None) -> bool:
        """Keep a pending order from expiring for some time; see `orders.hold`."""
        return self._hold(ids.parse(order_id), self.held_until(seconds), by="hold", session=session)

    def held_until(self, seconds: float | timedelta) -> datetime:
        """Return the deadline that `hold` gives at least, in UTC."""
        return from_now(self._clock, seconds)

    def cancel(self, order_id: OrderId, *, reason: str = "cancelled", session: Joined | None = None) -> bool:
        """Cancel an order if it is pending; see `orders.cancel`."""
        cancel = partial(self.store.cancel, ids.parse(order_id), reason=reason, session=session)
        cancelled = self._run_for(session)(cancel)
        if cancelled is not None:
            self._updates.settled(cancelled, session)
        return cancelled is not None

    def pay(self, order_id: OrderId, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending; see `orders.pay`."""
        order_id, reference = ids.parse(order_id), ids.parse_reference(reference)
        payment = self._run_for(session)(partial(self.store.pay, order_id, reference=reference, session=session))
        self._updates.paid(payment, session)
        return payment

    def check(self, order_id: OrderId) -> State:
        """Expire an order now if it is overdue; return its state. See `orders.check`."""
        order_id = ids.parse(order_id)
        state = self._state(order_id)
        if state is not State.OVERDUE or self.store.pauses.current():
            return state
        reply = self.guard.ask([order_id])[order_id] if self.guard else Reply(Answer.UNPAID)
        if reply.until is not None:
            self._hold(order_id, reply.until, by="guard", session=None)
        elif reply.answer is not Answer.UNKNOWN:
            decide = self.store.settle_paid if reply.answer is Answer.PAID else self.store.expire
            verdict = self._run_for(None)(partial(decide, [order_id]))[order_id]
            self._updates.decided(order_id, verdict)
        return self._state(order_id)

    def remove(self, order_id: OrderId, *, session: Joined | None = None) -> bool:
        """Remove an order from the schedule; see `orders.remove`."""
        return self._updates.remove(ids.parse(order_id), session)

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
            WrongDatabase: the schedule belongs to another database. Nothing was done.
        """
        self.ownership.check_once()
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
        """Deliver events to the handlers and the webhooks; see `orders.expiry.deliver.deliver` and `Round`."""
        run = partial(deliver, self.store, self._event_hooks(), self.settings, is_over=is_over)
        return self._round(is_over).beside(partial(run, sleep=self._sleep, jitter=self._jitter))

    def prune(self, *, is_over: Callable[[], bool] = lambda: False) -> int:
        """Delete old events; see `orders.expiry.deliver.prune`."""
        pruned = prune(self.store, self.settings, keep_undelivered=bool(self.hooks.event_hooks), is_over=is_over)
        self._round(is_over).look_back()
        return pruned

    def reconcile(
        self,
        *,
        everything: bool = False,
        dry_run: bool = False,
        progress: Callable[[Reconciled], None] = lambda _: None,
        is_over: Callable[[], bool] = lambda: False,
    ) -> Reconciled:
        """Schedule the missing pending rows; see `orders.expiry.reconcile.reconcile`."""
        self.ownership.check()
        run = partial(reconcile, self.schedule, self.store, self.settings, progress=progress, is_over=is_over)
        return run(everything=everything, dry_run=dry_run)

    def explain(self, order_id: OrderId) -> Explanation:
        """Return what is known about an order and what will happen to it next; see `orders.explain`."""
        return explain_order(ids.parse(order_id), self.schedule, self.store, self.settings, self.hooks)

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

    @property
    def outages(self) -> Outages:
        """Counts the updates of Redis that failed after a commit."""
        return self._updates.outages

    def _hold(self, order_id: str, deadline: datetime, *, by: str, session: Joined | None) -> bool:
        """Give a pending order a later deadline; return whether it is pending."""
        held = self._run_for(session)(partial(self.store.hold, order_id, deadline, by=by, session=session))
        if held is not None:
            self._updates.enqueue(self.due_at([(held.order_id, held.deadline)]), session)
        return held is not None

    def _round(self, is_over: Callable[[], bool]) -> Round:
        return Round(self.store, self.settings, self._clock, is_over, self._sleep, self._jitter)

    def _event_hooks(self) -> Sequence[EventHook]:
        hooks = self.hooks.event_hooks
        return hooks if self.settings.events_parallel == 1 else list(map(self.transactions.in_thread, hooks))

    def _state(self, order_id: str) -> State:
        return row.state if (row := self.store.row(order_id)) else State.MISSING

    def _run_for(self, session: Joined | None) -> Callable[[Callable[[], T]], T]:
        """Return a function that runs a transaction, and repeats it after a conflict.

        In the caller's transaction it repeats only what a savepoint has undone.
        """
        return partial(self.retry, kind=TableAltered) if self.transactions.is_joined(session) else self.retry
