"""What our tasks use of Celery's apps: their queues, their settings, the headers of messages, and beat."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery, Task, beat
from celery.app.trace import trace_task_ret
from kombu.entity import Queue

from tests.canaries.canary import canary
from tests.canaries.conftest import message_of

PERIODIC = "tasks/worker/periodic.py"


def sing() -> str:
    return "la"


@canary("celery", "AMQP.queues: a route and -Q find a Queue by its alias", "celeryconfig.py")
def test_aliases(app: Celery) -> None:
    app.conf.task_queues = [Queue("shop.sweep", alias="orders.sweep"), Queue("shop.expire", alias="orders.expire")]
    app.conf.task_routes = {"canary.sing": {"queue": "orders.sweep"}}
    del app.amqp
    assert app.amqp.router.route({}, "canary.sing")["queue"].name == "shop.sweep"
    app.amqp.queues.select(["orders.sweep"])
    assert [queue.name for queue in app.amqp.queues.consume_from.values()] == ["shop.sweep"]


@canary("celery", "Celery.configured; vars(app)['amqp'] is made anew after del app.amqp", "tasks/installation.py")
def test_a_configuration_that_was_read() -> None:
    with Celery("canary", set_as_current=False) as app:
        assert not app.configured
        app.conf.beat_schedule["each"] = {"task": "t", "schedule": 60.0}
        assert app.configured
        before = app.amqp
        assert vars(app)["amqp"] is before
        del app.amqp
        assert app.amqp is not before


@canary("celery", "Task.request: a header of the message is an attribute; before_start is called", PERIODIC)
def test_headers(app: Celery) -> None:
    heard = []

    class Listening(Task):  # type: ignore[misc]  # Celery has no types
        """Hears when it starts."""

        def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:
            heard.append((getattr(self.request, "canary_header", None), getattr(self.request, "other", None)))

    app.task(sing, name="canary.listen", base=Listening, shared=False)
    message = message_of(app)
    trace_task_ret("canary.listen", "1", {**message.headers, "canary_header": True}, ([], {}, {}), None, None, app=app)
    assert heard == [(True, None)]


@canary("celery", "beat.Scheduler.apply_async: calls the task's apply_async", PERIODIC)
def test_what_beat_calls(app: Celery) -> None:
    class Sent(Task):  # type: ignore[misc]  # Celery has no types
        """Is sent by its own method."""

        def apply_async(self, *_: Any, **options: Any) -> Any:
            return options["producer"]

    app.task(sing, name="canary.sent", base=Sent, shared=False)
    app.conf.beat_schedule = {"each": {"task": "canary.sent", "schedule": 60.0}}
    scheduler = beat.Scheduler(app)
    assert scheduler.apply_async(scheduler.schedule["each"], producer="ours") == "ours"


@canary("celery", "beat.Scheduler.tick, populate_heap, schedule; sender.app, sender.scheduler", "tasks/beat.py")
def test_beat(app: Celery) -> None:
    app.conf.beat_schedule = {"each": {"task": "t", "schedule": 60.0}}
    service = beat.Service(app, scheduler_cls=beat.Scheduler)
    assert service.app is app
    assert service.scheduler is service.scheduler
    assert beat.Scheduler(app, lazy=True).tick() >= 0.0
    # an entry is due by its last run, once the heap is made anew
    scheduler = beat.Scheduler(app)
    assert scheduler.tick() > 50
    scheduler.schedule["each"].last_run_at += timedelta(seconds=600)  # as after a step of the clock
    scheduler.populate_heap()
    assert scheduler._heap[0].time > time.time() + 600
    scheduler.schedule["each"].last_run_at -= timedelta(seconds=600)
    scheduler.populate_heap()
    assert scheduler._heap[0].time < time.time() + 60

    class Reached(Exception):
        """Beat calls the method that we extend."""

    service.scheduler = Mock(max_interval=1.0, tick=Mock(side_effect=Reached))
    with pytest.raises(Reached):
        service.start()
