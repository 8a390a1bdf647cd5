"""A bootstep for a worker that gets no message although its queues hold some.

Such a worker looks healthy: its event loop runs, and it answers `inspect ping`. Celery's users have met it after a
connection to Redis was reset (https://github.com/celery/celery/issues/8030 and 10205).
"""

import logging
from contextlib import suppress
from typing import Any

from celery import bootsteps
from celery.worker import state

import orders
from orders.errors import ScheduleError
from orders.logs import about
from tasks.broker import waiting

logger = logging.getLogger(__name__)


class Stall(bootsteps.StartStopStep):
    """Looks once per sweep interval, and starts a consumer anew that got nothing while messages waited.

    Until a message arrives, `is_stalled` is true and `tasks.worker.heartbeat` touches no file, so that a probe sees a
    worker for which a new consumer is not enough.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self.is_stalled = False
        self._consumer = consumer
        self._timer: Any = None
        self._received = 0
        self._received_before: int | None = None
        """At the last look, if messages waited; else None."""
        consumer.stall = self
        create = consumer.create_task_handler

        def create_counting() -> Any:
            receive = create()

            def count_and_receive(message: Any) -> None:
                self._received += 1
                self.is_stalled = False
                receive(message)

            return count_and_receive

        consumer.create_task_handler = create_counting

    def start(self, consumer: Any) -> None:
        """Start to look; called by Celery when the worker consumes."""
        self._received_before = None
        if consumer.hub:  # without an event loop, nothing would reconnect
            self._timer = consumer.timer.call_repeatedly(orders.current().settings.sweep_interval, self.look)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Look no more; called by Celery when the worker stops or has lost its connection."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def look(self) -> None:
        """Compare the messages received with those that wait.

        Raises:
            ConnectionError: messages waited at this look and the last, and none was received in between, although the
                worker had room. Celery treats the error like a lost connection: it makes a new consumer.
        """
        queues = self._waiting() if self._has_room() else {}
        before, self._received_before = self._received_before, self._received if queues else None
        self.is_stalled = self.is_stalled and bool(queues)
        if self._received != before or not queues:
            return
        self.is_stalled, self._received_before = True, None
        expiry = orders.current()
        seconds = expiry.settings.sweep_interval
        logger.error(
            "nothing was received for %g s, although messages wait: %s; starts its consumer anew",
            seconds,
            ", ".join(f"{name} {number:,}" for name, number in queues.items()),
            extra=about("stalled", queues=queues, silent=seconds),
        )
        with suppress(ScheduleError):
            expiry.schedule.count("stalled")
        raise ConnectionError("the worker gets no messages")

    def _has_room(self) -> bool:
        """Return whether the worker should ask for messages: it has less than it may prefetch, or nothing left to do.

        The two differ if kombu still counts messages that nobody works on, because they could not be acknowledged.
        """
        qos = getattr(self._consumer.task_consumer.channel, "qos", None)
        held_back = any(bucket.contents for bucket in self._consumer.task_buckets.values() if bucket)  # by a rate limit
        return not (state.reserved_requests or held_back) or bool(qos and qos.can_consume())

    def _waiting(self) -> dict[str, int]:
        """Return how many messages wait in each of our queues that this worker consumes, without the empty ones."""
        ours = orders.current().settings.queues.values()
        queues = [queue for queue in self._consumer.task_consumer.queues if queue.name in ours]
        try:
            with self._consumer.app.connection_or_acquire() as connection:
                numbers = {queue.name: waiting(queue, connection.default_channel) for queue in queues}
        except (*self._consumer.connection_errors, *self._consumer.channel_errors) as error:
            # The consumer gets the same error and reconnects.
            logger.warning("cannot count the waiting messages: %s", error, extra=about("not_counted", error=str(error)))
            return {}
        return {name: number for name, number in numbers.items() if number}
