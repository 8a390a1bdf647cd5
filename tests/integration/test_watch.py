"""What a worker sends in place of beat, and when. No worker runs: a test says what time it is in Redis's notes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery
from kombu.entity import Queue

import tasks
from orders import process
from orders.schedule.inspection import RAN
from orders.schedule.sorted_set import Schedule
from tasks.app import serve, serving
from tasks.worker.watch import Watch
from tests.conftest import Shop

LONG_AGO = 30_000
"""Seconds: more than three intervals of each task, of which the longest is an hour."""

PERIODIC = {"orders.sweep", "orders.reconcile", "orders.deliver", "orders.prune"}


@pytest.fixture
def database_url(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def app(shop: Shop) -> Iterator[Celery]:
    """A shop's own app, which sends nothing: the tests look at what it is asked to send."""
    before = serving()
    shop.create("integer")
    with process.using(shop.expiry), Celery("shop", broker="memory://", set_as_current=False) as app:
        tasks.install(app)
        for name in PERIODIC:
            app.tasks[name].apply_async = Mock()
        yield app
    serve(before)
    before.set_default()


def watch_of(app: Celery, *queues: str, uptime: float = LONG_AGO) -> Watch:
    """Return the watch of a worker that consumes these queues and has been running for so many seconds."""
    timer = SimpleNamespace(call_repeatedly=Mock())
    consumer = SimpleNamespace(app=app, task_consumer=SimpleNamespace(queues=list(map(Queue, queues))), timer=timer)
    watch = Watch(consumer)
    watch.start(consumer)
    watch._started_at = time.monotonic() - uptime
    return watch


def silent(schedule: Schedule, seconds: float = LONG_AGO, *, of: set[str] = PERIODIC) -> None:
    """Make these tasks silent for so many seconds, and let all others have run just now."""
    now = schedule.now()
    for task in PERIODIC:
        schedule.note(f"{RAN}{task}", now - (seconds if task in of else 0))
    schedule.note("swept_at", now - (seconds if "orders.sweep" in of else 0))


def sent(app: Celery) -> dict[str, str]:
    """Return the tasks that were sent, and to which queue."""
    calls = {name: app.tasks[name].apply_async.call_args_list for name in PERIODIC}
    return {name: call.kwargs["queue"] for name, made in calls.items() for call in made}


def test_all_that_beat_does_not_send_is_sent(app: Celery, shop: Shop) -> None:
    watch = watch_of(app, "orders.sweep", "orders.expire", "orders.events")
    silent(shop.schedule)
    watch.look()
    sweep, events = "orders.sweep", "orders.events"
    assert sent(app) == {
        "orders.sweep": sweep,
        "orders.reconcile": sweep,
        "orders.deliver": events,
        "orders.prune": events,
    }
    assert shop.schedule.noted("rescued") == 4


def test_beat_that_is_only_slow_has_no_double(app: Celery, shop: Shop) -> None:
    watch = watch_of(app, "orders.sweep", "orders.expire", "orders.events")
    # each is less than three of its intervals late
    for task, every in (("orders.sweep", 10), ("orders.reconcile", 60), ("orders.deliver", 10), ("orders.prune", 3600)):
        silent(shop.schedule, 2.5 * every, of={task})
        watch.look()
    assert sent(app) == {}


def test_only_one_of_several_workers_sends(app: Celery, shop: Shop) -> None:
    watches = [watch_of(app, "orders.sweep", "orders.expire", "orders.events") for _ in range(5)]
    silent(shop.schedule)
    for _ in range(3):  # nor again while what was sent has not run yet
        for watch in watches:
            watch.look()
    assert all(app.tasks[name].apply_async.call_count == 1 for name in PERIODIC)


def test_handlers_run_only_where_their_queue_is_consumed(app: Celery, shop: Shop) -> None:
    watch = watch_of(app, "orders.expire")
    silent(shop.schedule)
    watch.look()
    assert sent(app) == {"orders.sweep": "orders.expire", "orders.reconcile": "orders.expire"}


def test_a_worker_that_has_just_started_waits_for_beat(app: Celery, shop: Shop) -> None:
    watch = watch_of(app, "orders.sweep", "orders.events", uptime=10)
    silent(shop.schedule)
    watch.look()
    assert sent(app) == {}


def test_an_interval_of_the_shop_counts(app: Celery, shop: Shop) -> None:
    app.conf.beat_schedule["orders.reconcile"] = {"task": "orders.reconcile", "schedule": 86400.0}
    watch = watch_of(app, "orders.sweep", "orders.events")
    silent(shop.schedule, of={"orders.reconcile"})
    watch.look()
    assert sent(app) == {}


def test_what_has_never_run_counts_from_when_that_is_noticed(app: Celery, shop: Shop) -> None:
    watch = watch_of(app, "orders.sweep", "orders.events")
    watch.look()
    assert sent(app) == {}
    watch._unknown_since = {task: time.monotonic() - 1000 for task in PERIODIC}
    watch.look()
    assert set(sent(app)) == PERIODIC - {"orders.prune"}
