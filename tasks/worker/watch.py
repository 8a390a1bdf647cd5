"""A bootstep that watches the sweeps and the clocks.

If sweeps stop, the worker sends one to a queue that it consumes itself.
"""

import logging
import time
from typing import Any

from celery import bootsteps

import orders
from orders.errors import ScheduleError
from orders.expiry import SKEW
from orders.logs import about
from orders.schedule import Schedule
from tasks.worker.clock import measure

logger = logging.getLogger(__name__)

MISSED = 3
"""Sweep intervals without a sweep after which beat counts as dead."""


class Watch(bootsteps.StartStopStep):
    """Checks the time of the last sweep and Redis's clock, once per sweep interval."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._consumer = consumer
        self._timer: Any = None
        self._started_at = 0.0
        self._unknown_since: float | None = None

    def start(self, consumer: Any) -> None:
        """Start to watch; called by Celery when the worker consumes."""
        self._started_at = time.monotonic()
        self.look()
        interval = orders.current().settings.sweep_interval
        self._timer = consumer.timer.call_repeatedly(interval, self.look)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Stop watching; called by Celery when the worker stops."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _silence(self, schedule: Schedule) -> float:
        """Return the seconds since the last sweep; if there was none, since this was first noticed."""
        swept_at = schedule.swept_at()
        if swept_at is not None:
            self._unknown_since = None
            return schedule.now() - swept_at
        self._unknown_since = self._unknown_since or time.monotonic()
        return time.monotonic() - self._unknown_since

    def look(self) -> None:
        """Send a sweep if the last one is too long ago."""
        expiry = orders.current()
        patience = MISSED * expiry.settings.sweep_interval
        try:
            ahead = measure(expiry.schedule)
            if abs(ahead) > SKEW:
                logger.warning(
                    "this host's clock is %+.3f s from Redis's; workers compensate for it. Is NTP running?",
                    ahead,
                    extra=about("clock_skew", ahead=ahead),
                )
            silent = self._silence(expiry.schedule)
            if silent <= patience or time.monotonic() - self._started_at <= patience:
                return
            expiry.schedule.count("rescued")
        except ScheduleError as error:
            extra = about("redis_unavailable", error=str(error))
            logger.warning("cannot read Redis's clock and the time of the last sweep: %s", error, extra=extra)
            return
        queue = next(iter(self._consumer.task_consumer.queues)).name
        logger.error(
            "NO SWEEP for %.0f s, and one is due every %g s. Is beat running? This worker sends one to its queue %s",
            silent,
            expiry.settings.sweep_interval,
            queue,
            extra=about("no_sweep", silent=silent, queue=queue),
        )
        self._consumer.app.tasks["orders.sweep"].apply_async(queue=queue)
