"""What a pool does with messages that came together, with Celery's own tracing, on a real Redis and a real database."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, cast
from unittest.mock import Mock

import celery
import pytest
from billiard.einfo import ExceptionInfo
from celery import signals
from celery.app.trace import build_tracer
from redis import Redis

import orders
from orders.errors import ScheduleUnavailable, StoreUnavailable
from orders.schedule.records import Lease
from orders.store.outcomes import Verdict
from tasks import app
from tasks.worker import group
from tasks.worker.clock import LEAD
from tests.conftest import Shop


@pytest.fixture
def database_url(tmp_path: Any) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture(autouse=True)
def _worker(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Make this process a worker's, as far as tasks can tell."""
    shop.create()
    monkeypatch.setattr(orders, "current", lambda: shop.expiry)
    task = app.tasks["orders.expire"]
    monkeypatch.setattr(task, "__trace__", build_tracer(task.name, task, app=app))
    others = celery.current_app._get_current_object()
    app.set_current()
    yield
    others.set_current()


def message(*order_ids: str, lease: Lease) -> group.Message:
    task_id = f"task of {order_ids[0]}"
    headers = {"id": task_id, "task": "orders.expire", "ignore_result": True, "retries": 0, "root_id": task_id}
    return task_id, order_ids, (order_ids, {"lease": lease.token}, {}), headers


def claim(shop: Shop) -> Lease:
    return Lease(shop.schedule.claim(1000).lease)


def run(lease: Lease, *order_ids: str, is_alone: bool = False) -> group.Outcomes:
    messages = [message(order_id, lease=lease) for order_id in order_ids]
    outcomes = group.run("orders.expire", lease, messages, is_alone=is_alone, due=0.0)
    assert isinstance(outcomes, list)
    return outcomes


def results(outcomes: Sequence[group.Outcome | None]) -> list[Any]:
    return [outcome and outcome[:2] for outcome in outcomes]


@contextmanager
def listening(*told: signals.Signal) -> Iterator[list[str]]:
    heard: list[str] = []

    def hear(task_id: str | None = None, sender: Any = None, **_: Any) -> None:
        heard.append(task_id or sender.request.id)

    for signal in told:
        signal.connect(hear, weak=False, dispatch_uid="heard")
    try:
        yield heard
    finally:
        for signal in told:
            signal.disconnect(dispatch_uid="heard")


def test_each_message_has_its_own_result_of_one_transaction(shop: Shop) -> None:
    shop.place("1", "2", "4")
    shop.place("3", status="paid")
    calls: list[Sequence[str]] = []
    expire = shop.store.expire
    shop.store.expire = lambda order_ids: (calls.append(order_ids), expire(order_ids))[1]  # type: ignore[method-assign,func-returns-value]
    outcomes = run(claim(shop), "1", "2", "3", "4")
    assert results(outcomes) == [
        (0, "{'expired': 1}"),
        (0, "{'expired': 1}"),
        (0, "{'closed': 1}"),
        (0, "{'expired': 1}"),
    ]
    assert calls == [["1", "2", "3", "4"]]
    assert shop.redis.zcard("orders") == 0


def test_whoever_fails_fails_alone_with_its_traceback(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    @shop.hooks.on_expire
    def refuse(_: object, order_ids: Sequence[str]) -> None:
        if "2" in order_ids:
            raise ValueError("no place for 2")

    shop.hooks.on_expire(refuse)
    shop.place("1", "2", "3")
    first, second, third = run(claim(shop), "1", "2", "3")
    assert results([first, third]) == [(0, "{'expired': 1}")] * 2
    assert second
    has_failed, told, _ = second
    assert has_failed
    assert "2: ValueError: no place for 2" in str(told.exception)
    assert "no place for 2" in told.traceback
    assert "test_group.py" in told.traceback  # where the hook raised
    assert [record.exc_info is not None for record in caplog.records if "task of 2" in record.getMessage()] == [True]


def test_an_outage_is_the_failure_of_each(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Sequence[str]) -> Mapping[str, Verdict]:
        raise StoreUnavailable("the database is down")

    monkeypatch.setattr(shop.store, "expire", fail)
    shop.place("1", "2", "3")
    outcomes = run(claim(shop), "1", "2", "3")
    assert [outcome and outcome[0] for outcome in outcomes] == [1, 1, 1]
    told = [cast("group.Outcome", outcome)[1] for outcome in outcomes]
    assert {str(each.exception) for each in told} == {"the database is down"}
    assert len({len(each.traceback) for each in told[1:]}) == 1  # and does not grow from one to the next


def test_a_redis_that_is_away_is_the_failure_of_each(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.place("1", "2")
    lease = claim(shop)

    def fail(*_: object, **__: object) -> dict[str, int]:
        raise ScheduleUnavailable("Redis is away")

    monkeypatch.setattr("orders.schedule.sorted_set.Schedule.start", fail)
    outcomes = run(lease, "1", "2")
    assert [outcome and outcome[0] for outcome in outcomes] == [1, 1]
    assert shop.status("1") == shop.status("2") == "pending"


def test_a_bug_before_anything_was_begun_is_the_failure_of_each(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    shop.place("1", "2")
    lease = claim(shop)
    monkeypatch.setattr("orders.schedule.sorted_set.Schedule.start", fail)
    outcomes = run(lease, "1", "2")
    assert [type(cast("group.Outcome", outcome)[1].exception) for outcome in outcomes] == [ZeroDivisionError] * 2


def test_a_bug_is_the_failure_of_each(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("orders.expiry.attempt.Attempt.run", fail)
    shop.place("1", "2")
    outcomes = run(claim(shop), "1", "2")
    assert [type(cast("group.Outcome", outcome)[1].exception) for outcome in outcomes] == [ZeroDivisionError] * 2


def test_an_attempt_that_begins_early_is_counted_and_waits(
    shop: Shop, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[tuple[float, object]] = []
    attempts = partial(redis.hget, "{orders}:attempts", "1")
    monkeypatch.setattr(group._never, "wait", lambda seconds: waited.append((seconds, attempts())))
    shop.place("1")
    lease = claim(shop)
    messages = [message("1", lease=lease)]
    # even if this host's clock was set back meanwhile, it is for a moment
    group.run("orders.expire", lease, messages, is_alone=False, due=time.time() + 3600)
    assert waited == [(LEAD, b"1")]
    assert shop.status("1") == "expired"


def test_an_error_of_celery_is_told_although_a_pool_of_threads_would_drop_it(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.place("1")
    lease = claim(shop)
    monkeypatch.setattr("tasks.worker.group.trace_task_ret", Mock(side_effect=ZeroDivisionError))
    told = group.run("orders.expire", lease, [message("1", lease=lease)], is_alone=False, due=0.0)
    assert isinstance(told, ExceptionInfo)
    assert "ZeroDivisionError" in str(told.traceback)
    assert group.current() is None


def test_what_was_tried_before_is_left_until_it_is_alone(shop: Shop, redis: Redis) -> None:
    shop.place("1", "2", "3")
    redis.hset("{orders}:attempts", mapping={"1": 1, "3": 1})
    with listening(signals.task_prerun) as heard:
        outcomes = run(claim(shop), "1", "2", "3")
    assert results(outcomes) == [None, (0, "{'expired': 1}"), None]
    assert heard == ["task of 2"]
    assert shop.status("1") == shop.status("3") == "pending"
    lease = Lease(cast("float", shop.score("1")))
    again = run(lease, "1", is_alone=True)
    assert results(again) == [(0, "{'expired': 1}")]
    assert shop.status("1") == "expired"


def test_what_is_void_does_nothing(shop: Shop) -> None:
    shop.place("1")
    assert results(run(Lease(12345.0), "1")) == [(0, "{'stale': 1}")]
    assert shop.status("1") == "pending"


def test_whoever_listens_hears_of_each_message(shop: Shop) -> None:
    shop.place("1", "2", "3")
    with listening(signals.task_prerun, signals.task_postrun, signals.task_success) as heard:
        assert results(run(claim(shop), "1", "2", "3")) == [(0, "{'expired': 1}")] * 3
    assert heard == [f"task of {number}" for number in (1, 2, 3) for _ in range(3)]


def test_a_task_that_is_called_by_itself_is_an_attempt_by_itself(shop: Shop) -> None:
    shop.place("1", "2")
    lease = claim(shop)
    assert app.tasks["orders.expire"]("1", "2", lease=lease.token) == {"expired": 2}
    assert group.current() is None
