"""The use cases: what joins the schedule and the store. The only place that knows both."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Self

from orders import ids
from orders.attempt import Attempt
from orders.clock import Clock, SystemClock, resolve_deadline
from orders.config import Settings
from orders.explanation import Explanation, explain
from orders.ids import OrderId
from orders.reconciling import Reconciled, reconcile
from orders.schedule import Schedule
from orders.sql import SqlStore
from orders.store import OrderStore


class OrderExpiry:
    """Everything that an application or a worker does with orders and their deadlines. Safe to share by threads.

    Args:
        settings: the settings.
        schedule: the sorted set.
        store: the orders table.
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
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.settings = settings
        self.schedule = schedule
        self.store = store
        self._clock = clock or SystemClock()
        self._sleep = sleep
        self._jitter = jitter

    @classmethod
    def connect(cls, settings: Settings | None = None) -> Self:
        """Return the use cases on the Redis and the database of the settings, by default the environment's."""
        settings = settings or Settings()
        return cls(settings, Schedule.connect(settings), SqlStore(settings))

    def enqueue(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
    ) -> datetime:
        """Schedule an order's expiry, in one round trip to Redis; see `orders.enqueue`."""
        deadline = self._deadline(expires_at, timeout)
        self.schedule.enqueue([(ids.parse(order_id), deadline.timestamp())])
        return deadline

    def enqueue_many(self, pairs: Iterable[tuple[OrderId, datetime | None]]) -> int:
        """Schedule many orders; see `orders.enqueue_many`."""
        entries = [(ids.parse(order_id), self._deadline(deadline, None).timestamp()) for order_id, deadline in pairs]
        self.schedule.enqueue(entries)
        return len(entries)

    def extend(
        self,
        order_id: OrderId,
        *,
        expires_at: datetime | None = None,
        timeout: float | timedelta | None = None,
    ) -> bool:
        """Give a pending order another deadline, in its row and in the schedule; see `orders.extend`."""
        member = ids.parse(order_id)
        deadline = self._deadline(expires_at, timeout)
        if not self.store.extend(member, deadline):
            return False
        self.schedule.enqueue([(member, deadline.timestamp())])
        return True

    def remove(self, order_id: OrderId) -> bool:
        """Take an order out of the schedule; see `orders.remove`."""
        return self.schedule.remove([ids.parse(order_id)]) > 0

    def expire(self, order_ids: Iterable[str], lease: float) -> dict[str, int]:
        """Expire orders that a sweep has claimed.

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
        attempt = Attempt(self.schedule, self.store, self.settings, lease, sleep=self._sleep, jitter=self._jitter)
        return attempt.run(list(order_ids))

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

    def _deadline(self, expires_at: datetime | None, timeout: float | timedelta | None) -> datetime:
        return resolve_deadline(self._clock, expires_at=expires_at, timeout=timeout, default=self.settings.timeout)
