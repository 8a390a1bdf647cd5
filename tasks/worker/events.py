"""How a worker sends the events that Flower reads: in groups, and without passwords.

Celery sends what it has whenever its event loop comes round, which is after each message or two. Publishing the three
events of a task like that costs more than all else that Celery does with it.
"""

from typing import Any

from celery import bootsteps
from celery.worker.request import Request

from orders.config import mask

INTERVAL = 0.05
"""Seconds between two groups: what Flower is late."""

LIMIT = 500
"""Events that are not kept longer than it takes to send them."""


class GroupedEvents(bootsteps.StartStopStep):
    """Sends the events of tasks in groups."""

    requires = ("celery.worker.consumer.events:Events",)

    def __init__(self, _: Any, **__: Any) -> None:
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Take the sending over; called by Celery when the worker has connected."""
        dispatcher = consumer.event_dispatcher
        if consumer.hub is None or dispatcher is None:
            return  # this pool has no event loop: Celery groups nothing
        dispatcher.on_send_buffered = None
        dispatcher.buffer_limit = LIMIT
        self._timer = consumer.timer.call_repeatedly(INTERVAL, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Send what is left; called by Celery when the worker stops or has lost its connection."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
            consumer.event_dispatcher.flush()


class NoGossip(bootsteps.Step):
    """Has workers not read each other's events: nothing here needs it, and one that is malformed would end them all.

    Nor do they ask each other for tasks that were revoked when they start, which takes a second: a row says by itself
    that its order is not to be expired.
    """

    def __init__(self, worker: Any, **_: Any) -> None:
        worker.options.update(without_gossip=True, without_mingle=True)


class MaskedRequest(Request):
    """A message in a worker. What a hook or a driver raises may name a URL with its password, and events are read."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
        """Send an event of this task."""
        if type == "task-failed":
            fields = {name: mask(str(value)) for name, value in fields.items()}
        super().send_event(type, **fields)
