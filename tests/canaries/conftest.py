"""A Celery app and the consumer of a worker, on a broker in memory. Nothing is started."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import Celery
from celery.concurrency.thread import TaskPool as Threads
from celery.worker import state
from celery.worker.consumer import Consumer
from kombu.asynchronous import Hub, set_event_loop
from kombu.asynchronous.semaphore import LaxBoundedSemaphore


@pytest.fixture
def app() -> Iterator[Celery]:
    app = Celery("canary", broker="memory://canary", set_as_current=False)
    app.conf.update(task_ignore_result=True, worker_disable_rate_limits=True)

    @app.task(name="canary.sing", shared=False)  # type: ignore[untyped-decorator]
    def sing(*words: str, times: int = 1) -> str:
        return " ".join(words * times)

    yield app
    app.close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.close()
    set_event_loop(None)


@pytest.fixture
def consumer(app: Celery, hub: Hub) -> Iterator[Any]:
    """The consumer of a worker as it is before it connects, with the events that it would send."""
    controller = SimpleNamespace(semaphore=LaxBoundedSemaphore(1), state=state, use_eventloop=True)
    options = {"controller": controller, "pool": Threads(1), "hub": hub, "timer": hub.timer}
    consumer = Consumer(lambda _: None, app=app, hostname="canary@here", disable_rate_limits=True, **options)
    yield consumer
    for each in (state.requests, state.reserved_requests, state.revoked, state.total_count):
        each.clear()


def message_of(app: Celery, *words: str, **options: Any) -> Any:
    """Return a message of the task as a worker gets it."""
    with app.connection_for_write() as connection:
        queue = app.amqp.queues["celery"](connection.default_channel)
        queue.declare()
        app.send_task("canary.sing", words, ignore_result=True, connection=connection, **options)
        message = queue.get()
        assert message is not None
        return message
