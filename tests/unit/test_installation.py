"""What `tasks.install` adds to a shop's own Celery app, whenever it is called."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu.entity import Queue

import orders
import tasks
from orders.config.settings import Settings
from tasks import wiring
from tasks.app import serve, serving

SWEEP, EXPIRE, EVENTS = "orders.sweep", "orders.expire", "orders.events"


@pytest.fixture
def app() -> Iterator[Celery]:
    orders.configure(Settings())
    before = serving()
    with Celery("shop", broker="memory://", set_as_current=False) as shop:
        yield shop
    serve(before)
    before.set_default()


def is_complete(app: Celery) -> bool:
    entries = {entry["task"] for entry in app.conf.beat_schedule.values()}
    return (
        entries >= {"orders.sweep", "orders.reconcile", "orders.deliver", "orders.prune"}
        and {SWEEP, EXPIRE, EVENTS} <= set(app.amqp.queues.consume_from)
        and app.amqp.router.route({}, "orders.reconcile")["queue"].name == SWEEP
        and app.amqp.router.route({}, "orders.deliver")["queue"].name == EVENTS
    )


def test_before_the_configuration_is_read(app: Celery) -> None:
    tasks.install(app)
    assert not app.configured
    assert is_complete(app)


def test_after_the_configuration_was_read(app: Celery) -> None:
    app.conf.beat_schedule["shop.report"] = {"task": "shop.report", "schedule": 60.0}
    tasks.install(app)
    assert is_complete(app)
    assert "shop.report" in app.conf.beat_schedule


def test_after_the_queues_and_routes_were_used(app: Celery) -> None:
    app.conf.task_routes = {"shop.*": {"queue": "shop"}}
    assert app.amqp.router.route({}, "shop.restock")["queue"].name == "shop"
    tasks.install(app)
    assert is_complete(app)
    assert app.amqp.router.route({}, "shop.restock")["queue"].name == "shop"
    assert app.amqp.router.route({}, "restock")["queue"].name == "celery"


def test_twice(app: Celery) -> None:
    app.conf.task_queues = [Queue("shop")]
    tasks.install(app)
    tasks.install(app)
    assert is_complete(app)
    assert sorted(queue.name for queue in app.conf.task_queues) == sorted(["shop", SWEEP, EXPIRE, EVENTS])
    assert len(app.conf.task_routes) == 1


def test_the_doctor_asks_the_app(app: Celery) -> None:
    tasks.install(app)
    assert serving() is app


def test_a_route_of_the_shop_is_reported(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    app.conf.task_routes = {"orders.*": {"queue": "slow"}}
    tasks.install(app)
    with caplog.at_level(logging.ERROR):
        wiring.report_routes(app, frozenset({"celery", SWEEP, EXPIRE, EVENTS}))
    [line] = caplog.messages
    assert line == (
        "the settings of the Celery app 'shop' send orders.deliver, orders.expire, orders.prune, orders.reconcile, "
        "orders.sweep to the queue 'slow': a worker must consume that queue (-Q slow), "
        "or a route must send them to ours"
    )
    # but not to a worker that consumes it
    caplog.clear()
    wiring.report_routes(app, frozenset({"slow"}))
    assert not caplog.messages


def test_entries_that_were_replaced_are_reported(app: Celery, caplog: pytest.LogCaptureFixture) -> None:
    tasks.install(app)
    assert app.conf.beat_schedule
    app.conf.beat_schedule = {"report": {"task": "shop.report", "schedule": 60.0}}
    with caplog.at_level(logging.ERROR):
        wiring.report_missing_entries(app)
    [line] = caplog.messages
    assert line == (
        "the settings of the Celery app 'shop' have no entry in beat_schedule for orders.deliver, orders.prune, "
        "orders.reconcile, orders.sweep, so beat does not send them"
    )


@pytest.mark.parametrize(("key", "names"), [("orders", "orders"), ("shop", "shop"), ("{eu}:orders", "{eu}:orders")])
def test_queues_are_named_after_the_key(key: str, names: str) -> None:
    queues = Settings(key=key).queues
    assert dict(queues) == {SWEEP: f"{names}.sweep", EXPIRE: f"{names}.expire", EVENTS: f"{names}.events"}
