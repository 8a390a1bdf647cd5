"""Task events, which Flower reads: sent in groups, and without passwords.

Celery sends the buffered events on each turn of its event loop, so after each message or two. Publishing the three
events of a task like that costs more than everything else that Celery does with the task.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import celery
from celery import bootsteps
from celery.worker.request import Request

from orders.config import mask

INTERVAL = 0.05
"""Seconds between two groups: the delay in Flower."""

LIMIT = 500
"""Events after which the buffer is sent at once."""


class GroupedEvents(bootsteps.StartStopStep):
    """Sends task events in groups."""

    requires = ("celery.worker.consumer.events:Events",)

    def __init__(self, _: Any, **__: Any) -> None:
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Replace Celery's flushing by a timer; called by Celery when the worker has connected."""
        dispatcher = consumer.event_dispatcher
        if consumer.hub is None or dispatcher is None:
            return  # without an event loop, Celery does not buffer events
        if celery.VERSION[:2] < (5, 7):
            dispatcher.flush = partial(_flush, dispatcher, dispatcher.flush)
        dispatcher.on_send_buffered = None
        dispatcher.buffer_limit = LIMIT
        self._timer = consumer.timer.call_repeatedly(INTERVAL, dispatcher.flush)

    def stop(self, consumer: Any) -> None:
        """Send the buffered events; called by Celery when the worker stops or has lost its connection."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
            consumer.event_dispatcher.flush()


def _flush(dispatcher: Any, flush: Callable[..., None], errors: bool = True, groups: bool = True) -> None:  # noqa: FBT001, FBT002 - Celery's signature
    """Send the buffered events; the `flush` of Celery before 5.7 drops what other threads add while it sends."""
    flush(errors, groups=False)
    if groups:
        with dispatcher.mutex:
            for group, events in dispatcher._group_buffer.items():  # noqa: SLF001 - has no public name
                if batch := list(events):
                    dispatcher._publish(batch, dispatcher.producer, f"{group}.multi")  # noqa: SLF001 - as Celery does
                    del events[: len(batch)]


class NoGossip(bootsteps.Step):
    """Turns off gossip: workers do not need each other's events, and a malformed one would end all of them.

    Also turns off mingle, which delays the start by a second to ask other workers for revoked tasks. Nobody needs to
    revoke ``orders.expire``, because the row decides whether an order expires.
    """

    def __init__(self, worker: Any, **_: Any) -> None:
        worker.options.update(without_gossip=True, without_mingle=True)


class MaskedRequest(Request):
    """A message in a worker. Its events mask passwords, because errors of hooks and drivers may contain a URL."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
        """Send an event of this task, with masked fields if it failed."""
        if type == "task-failed":
            fields = {name: mask(str(value)) for name, value in fields.items()}
        super().send_event(type, **fields)
