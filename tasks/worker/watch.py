"""A bootstep that watches the tasks of beat, and the clocks.

If one of them no longer runs, the worker sends it to a queue that it consumes itself.
"""

import logging
import time
from typing import Any

from celery import bootsteps

import orders
from orders.errors import ConfigError, ScheduleError, SchemaError, StoreError
from orders.expiry import SKEW
from orders.logs import about
from orders.schedule import Schedule
from orders.store import OrderStore
from tasks.worker.clock import measure
from tasks.worker.periodic import MISSED, RESCUE, intervals

logger = logging.getLogger(__name__)


class Watch(bootsteps.StartStopStep):
    """Checks the last run of each task of beat, and Redis's clock, once per sweep interval."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._consumer = consumer
        self._timer: Any = None
        self._started_at = 0.0
        self._unknown_since: dict[str, float] = {}
        """When this worker noticed that a task has never run, by its monotonic clock."""

    def start(self, consumer: Any) -> None:
        """Start to watch; called by Celery when the worker consumes.

        Raises:
            WrongDatabase: the schedule belongs to another database. The worker ends, before it takes a message.
        """
        orders.current().ownership.check()
        report_table(orders.current().store)
        self._started_at = time.monotonic()
        self.look()
        interval = orders.current().settings.sweep_interval
        self._timer = consumer.timer.call_repeatedly(interval, self.look)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Stop watching; called by Celery when the worker stops."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Send each task whose last run is too long ago, unless another worker does."""
        expiry = orders.current()
        uptime = time.monotonic() - self._started_at
        try:
            ahead = measure(expiry.schedule)
            if abs(ahead) > SKEW:
                logger.warning(
                    "this host's clock is %+.3f s from Redis's; workers compensate for it. Is NTP running?",
                    ahead,
                    extra=about("clock_skew", ahead=ahead),
                )
            silences = self._silences(expiry.schedule)
            if uptime <= MISSED * expiry.settings.sweep_interval:  # beat may have been started with this worker
                return
            for task, every in intervals(self._consumer.app).items():
                queue = self._queue_for(task)
                patience = MISSED * every
                if queue and silences[task] > patience and expiry.schedule.take_turn(task, patience):
                    self._send(task, queue, silences[task], every)
        except ScheduleError as error:
            extra = about("redis_unavailable", error=str(error))
            logger.warning("cannot read Redis's clock and the times of the last runs: %s", error, extra=extra)

    def _silences(self, schedule: Schedule) -> dict[str, float]:
        """Return the seconds since the last run of each task; if there was none, since this was first noticed."""
        now, runs = schedule.now(), {**schedule.runs(), "orders.sweep": schedule.swept_at()}
        silences = {}
        for task in intervals(self._consumer.app):
            ran_at = runs.get(task)
            if ran_at is None:
                silences[task] = time.monotonic() - self._unknown_since.setdefault(task, time.monotonic())
            else:
                self._unknown_since.pop(task, None)
                silences[task] = now - ran_at
        return silences

    def _queue_for(self, task: str) -> str | None:
        """Return a queue that this worker consumes, for a task; None if another worker has to send it.

        A sweep or reconcile may run in any worker. The handlers of events may be slow, so they run only in workers that
        consume the queue of their task.
        """
        consumed = [queue.name for queue in self._consumer.task_consumer.queues]
        amqp = self._consumer.app.amqp
        own: str = amqp.router.route({}, task)["queue"].name
        if own in consumed:
            return own
        return None if own == amqp.router.route({}, "orders.deliver")["queue"].name else consumed[0]

    def _send(self, task: str, queue: str, silent: float, every: float) -> None:
        orders.current().schedule.count("rescued")
        verb = task.removeprefix("orders.")
        logger.error(
            "NO %s for %.0f s, and one is due every %g s. Is beat running, and a worker for the queue %s? "
            "This worker sends one to its queue %s",
            verb.upper(),
            silent,
            every,
            self._consumer.app.amqp.router.route({}, task)["queue"].name,
            queue,
            extra=about("no_sweep", silent=silent, queue=queue)
            if verb == "sweep"
            else about("no_run", task=task, silent=silent, queue=queue),
        )
        self._consumer.app.tasks[task].apply_async(queue=queue, headers={RESCUE: True})


def report_table(store: OrderStore) -> None:
    """Log what of the orders table does not suit the settings: a column, a word, the shop's condition.

    A worker goes on. It gets the same error with each order, counts no attempt, and works once that is corrected.
    """
    try:
        store.check()
    except (ConfigError, SchemaError) as error:
        fields = about("unsuitable", error=str(error))
        logger.error("no order can expire: %s", error, extra=fields)  # noqa: TRY400 - the message says it all
    except StoreError as error:
        logger.warning("cannot look at the orders table: %s", error, extra=about("not_looked_at", error=str(error)))
