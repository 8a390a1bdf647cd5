"""When a worker is said to get no messages, and what its heartbeat file tells meanwhile. No worker runs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery
from celery.worker import state
from kombu.messaging import Consumer
from kombu.utils.limits import TokenBucket

import tasks
from orders import process
from tasks.app import serve, serving
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.stall import Stall
from tests.conftest import Shop

LONG_AGO = 1_000_000_000


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def heartbeat_file(tmp_path: Path) -> Path:
    return tmp_path / "heartbeat"


@pytest.fixture
def consumer(shop: Shop, heartbeat_file: Path) -> Iterator[Any]:
    """What our steps see of a worker that has just connected, and consumes two queues of a real broker."""
    before = serving()
    shop = shop.configured(heartbeat_file=str(heartbeat_file))
    with process.using(shop.expiry), Celery("shop", broker=shop.settings.redis_url, set_as_current=False) as app:
        tasks.install(app)
        with app.connection_for_read() as connection:
            queues = [app.amqp.queues[name] for name in ("orders.sweep", "orders.expire")]
            yield SimpleNamespace(
                app=app,
                hub=True,
                timer=SimpleNamespace(call_repeatedly=Mock()),
                connection_errors=connection.connection_errors,
                channel_errors=connection.channel_errors,
                create_task_handler=Mock,
                task_buckets={"shop.mail": None},
                task_consumer=Consumer(connection.channel(), queues),
            )
    serve(before)
    before.set_default()


@pytest.fixture
def stall(consumer: Any) -> Stall:
    stall = Stall(consumer)
    stall.start(consumer)
    return stall


def leave_message(shop: Shop) -> None:
    shop.redis.lpush("orders.expire", "a message")


def test_messages_that_wait_at_two_looks_while_none_comes_make_a_new_consumer(
    shop: Shop, stall: Stall, caplog: pytest.LogCaptureFixture
) -> None:
    leave_message(shop)
    stall.look()
    with pytest.raises(ConnectionError, match="the worker gets no messages"):
        stall.look()
    assert caplog.messages == [
        "nothing was received for 10 s, although messages wait: orders.expire 1; starts its consumer anew"
    ]
    # and the new one has as much time as the first
    stall.look()
    assert len(caplog.messages) == 1


def test_a_worker_that_gets_messages_goes_on(shop: Shop, consumer: Any, stall: Stall) -> None:
    leave_message(shop)
    receive = consumer.create_task_handler()
    for _ in range(5):
        stall.look()
        receive("another message")


def test_a_queue_that_was_empty_in_between_stalls_nobody(shop: Shop, stall: Stall) -> None:
    for _ in range(3):
        leave_message(shop)
        stall.look()
        shop.redis.delete("orders.expire")
        stall.look()


def test_a_worker_without_room_is_only_busy(shop: Shop, consumer: Any, stall: Stall) -> None:
    leave_message(shop)
    consumer.task_consumer.channel.qos.can_consume = lambda: False
    state.reserved_requests.add(work := Mock())
    for _ in range(5):
        stall.look()
    state.reserved_requests.discard(work)


def test_a_worker_whose_messages_wait_for_a_rate_limit_is_not_stalled(shop: Shop, consumer: Any, stall: Stall) -> None:
    leave_message(shop)
    consumer.task_consumer.channel.qos.can_consume = lambda: False
    consumer.task_buckets["shop.mail"] = bucket = TokenBucket(0.01)
    bucket.add("a request")
    for _ in range(5):
        stall.look()


def test_a_worker_without_room_and_without_work_is_stalled(shop: Shop, consumer: Any, stall: Stall) -> None:
    leave_message(shop)
    consumer.task_consumer.channel.qos.can_consume = lambda: False  # it counts what could not be acknowledged
    stall.look()
    with pytest.raises(ConnectionError):
        stall.look()


def test_a_broker_that_is_down_is_left_to_celery(
    consumer: Any, stall: Stall, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(consumer.app, "connection_or_acquire", Mock(side_effect=OSError("refused")))
    for _ in range(2):
        stall.look()
    assert caplog.messages == ["cannot count the waiting messages: refused"] * 2


def test_the_heartbeat_file_grows_old_until_a_message_comes(
    shop: Shop, consumer: Any, stall: Stall, heartbeat_file: Path
) -> None:
    def touched() -> bool:
        os.utime(heartbeat_file, (LONG_AGO, LONG_AGO))
        touch = consumer.timer.call_repeatedly.call_args.args[1]
        touch()
        return heartbeat_file.stat().st_mtime > LONG_AGO

    heartbeat = Heartbeat(consumer)
    heartbeat.start(consumer)
    assert touched()
    # given a worker that gets nothing
    leave_message(shop)
    stall.look()
    with pytest.raises(ConnectionError):
        stall.look()
    # when its consumer is made anew, the file is neither deleted nor touched
    os.utime(heartbeat_file, (LONG_AGO, LONG_AGO))
    heartbeat.stop(consumer)
    heartbeat.start(consumer)
    assert heartbeat_file.stat().st_mtime == LONG_AGO
    assert not touched()
    # until it gets a message
    consumer.create_task_handler()("a message")
    assert touched()
    heartbeat.stop(consumer)
    assert not heartbeat_file.exists()
