"""What our steps of a worker use of Celery's: its consumer, its pools and its events."""

from __future__ import annotations

import inspect
import time
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from billiard.einfo import ExceptionInfo
from billiard.pool import Pool as ProcessPool
from celery import Celery
from celery.concurrency.base import apply_target
from celery.concurrency.prefork import TaskPool as Processes
from celery.concurrency.thread import TaskPool as Threads
from celery.exceptions import WorkerShutdown
from celery.utils.imports import symbol_by_name
from celery.worker import components, loops, state
from celery.worker.consumer import Gossip, Mingle
from kombu.asynchronous import Hub
from kombu.asynchronous.semaphore import LaxBoundedSemaphore

from tests.canaries.canary import canary, takes
from tests.canaries.conftest import message_of

INTAKE = "tasks/worker/intake.py"
STALL = "tasks/worker/stall.py"


class Reached(Exception):
    """What was replaced is what is called."""


@canary("celery", "Consumer.create_task_handler", "tasks/worker/rejection.py", STALL)
def test_create_task_handler(app: Celery, consumer: Any) -> None:
    consumer.update_strategies()
    takes(consumer.create_task_handler(), message_of(app, "tweet"))

    def replaced() -> None:
        raise Reached

    arguments = [SimpleNamespace(create_task_handler=replaced), *[Mock()] * 7]
    for loop in (loops.asynloop, loops.synloop):
        with pytest.raises(Reached):
            loop(*arguments)


@canary("celery", "Consumer.on_task_request", INTAKE)
def test_on_task_request(app: Celery, consumer: Any) -> None:
    # a step replaces it before the strategies are made, and gets what comes at once, and what has waited for its eta
    received: list[Any] = []
    consumer.on_task_request = received.append
    consumer.qos = Mock()
    consumer.update_strategies()
    consumer.create_task_handler()(message_of(app, "tweet"))
    assert [request.args for request in received] == [["tweet"]]
    consumer.apply_eta_task(received[0])
    assert len(received) == 2


@canary("celery", "Consumer.on_decode_error", "tasks/worker/rejection.py")
def test_on_decode_error(consumer: Any) -> None:
    message = Mock(body=b"?", headers={}, content_type="text", content_encoding="utf-8")
    consumer.on_decode_error(message, ValueError("what is that?"))
    message.ack.assert_called_once_with()


@canary(
    "celery",
    "Consumer.connection_errors, channel_errors",
    "tasks/worker/recovery.py",
    "tasks/worker/rejection.py",
    STALL,
)
def test_errors_of_the_broker(consumer: Any) -> None:
    assert "recoverable_errors = self.connection_errors" in inspect.getsource(type(consumer).start)
    for kinds in (consumer.connection_errors, consumer.channel_errors):
        assert isinstance(kinds, tuple)
        assert all(issubclass(kind, Exception) for kind in kinds)


@canary("celery", "Consumer.call_soon", INTAKE)
def test_call_soon(consumer: Any, hub: Hub) -> None:
    called: list[Any] = []
    consumer.call_soon(called.append, "tweet")
    assert called == []
    next(hub.create_loop())
    assert called == ["tweet"]


@canary("celery", "WorkController.semaphore", INTAKE)
def test_semaphore(consumer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[int] = []
    semaphore = consumer.controller.semaphore
    semaphore.acquire(called.append, 1)
    semaphore.acquire(called.append, 2)
    assert called == [1]
    semaphore.release()
    assert called == [1, 2]
    # and a lost connection frees all of it
    consumer.on_close()
    semaphore.acquire(called.append, 3)
    assert called == [1, 2, 3]
    # and it is the worker's that counts its free processes
    monkeypatch.setattr(components, "_set_task_join_will_block", Mock())
    worker = Mock(use_eventloop=True, concurrency=2, semaphore=None, pool_cls=Mock())
    components.Pool(worker).create(worker)
    assert isinstance(worker.semaphore, LaxBoundedSemaphore)
    assert worker.semaphore.value == 2


@canary("celery", "celery.worker.consumer.tasks:Tasks", INTAKE, STALL, "tasks/worker/watch.py")
def test_step_tasks(consumer: Any) -> None:
    assert symbol_by_name("celery.worker.consumer.tasks:Tasks") in map(type, consumer.steps)


@canary("celery", "worker.state.reserved_requests", STALL)
def test_reserved_requests(app: Celery, consumer: Any) -> None:
    consumer.qos, consumer.on_task_request = Mock(), Mock()
    consumer.update_strategies()
    consumer.create_task_handler()(message_of(app, "tweet"))
    [request] = state.reserved_requests
    state.task_ready(request)
    assert not state.reserved_requests


@canary("celery", "Consumer.task_buckets: TokenBucket.contents", STALL)
def test_task_buckets(app: Celery, consumer: Any) -> None:
    app.tasks["canary.sing"].rate_limit = "1/h"
    consumer.reset_rate_limits()
    bucket = consumer.task_buckets["canary.sing"]
    assert not bucket.contents
    bucket.add("tweet")
    assert bucket.contents
    assert consumer.task_buckets["celery.backend_cleanup"] is None


@canary("celery", "celery.worker.consumer.events:Events", "tasks/worker/events.py")
def test_step_events(consumer: Any) -> None:
    assert symbol_by_name("celery.worker.consumer.events:Events") in map(type, consumer.steps)


@canary("celery", "WorkController.options: without_gossip, without_mingle", "tasks/worker/events.py")
def test_options() -> None:
    options = {"without_gossip": True, "without_mingle": True}
    worker = Mock(max_concurrency=0, concurrency=1, prefetch_multiplier=1, options=options)
    worker.consumer_cls = lambda *_, worker_options, **__: worker_options
    assert components.Consumer(worker).create(worker) is options
    redis = Celery("canary", broker="redis://localhost:1", set_as_current=False)
    consumer = Mock(app=redis, hostname="canary@here")
    for step in (Gossip, Mingle):
        assert step(consumer).enabled
        assert not step(consumer, **options).enabled


@canary("celery", "EventDispatcher.on_send_buffered, buffer_limit, flush", "tasks/worker/events.py")
def test_event_dispatcher(app: Celery) -> None:
    with app.connection_for_write() as connection:
        told: list[int] = []
        called = Mock()
        dispatcher = app.events.Dispatcher(connection, buffer_group=["task"], on_send_buffered=called)
        dispatcher.producer = Mock(publish=lambda events, **_: told.append(len(events)))
        dispatcher.on_send_buffered, dispatcher.buffer_limit = None, 3
        for number in range(4):
            dispatcher.send("task-sung", uuid=str(number))
        assert told == [3]
        dispatcher.flush()
        assert told == [3, 1]
        called.assert_not_called()


@canary("celery", "EventDispatcher.mutex, _group_buffer, _publish (before 5.7)", "tasks/worker/events.py")
def test_buffer_of_events(app: Celery) -> None:
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(connection, buffer_group=["task"])
        dispatcher.send("task-sung", uuid="1")
        assert [event["uuid"] for event in dispatcher._group_buffer["task"]] == ["1"]
        assert not dispatcher.mutex.locked()
        takes(dispatcher._publish, [], dispatcher.producer, "task.multi")
        takes(dispatcher.flush, True, groups=False)


@canary("celery", "TaskPool.apply_async: callbacks", INTAKE)
def test_apply_async() -> None:
    accepted, ended, pool = Mock(), Mock(), Threads(1)
    pool.start()
    try:
        pool.apply_async(
            lambda word, *, times: word * times,
            ("la",),
            {"times": 2},
            accept_callback=accepted,
            callback=ended,
            error_callback=None,
            timeout_callback=None,
            soft_timeout=None,
            timeout=None,
            correlation_id="1",
        )
    finally:
        pool.stop()
    ended.assert_called_once_with("lala")
    pid, began = accepted.call_args.args
    assert isinstance(pid, int)
    assert began <= time.monotonic()
    options = ("accept_callback", "error_callback", "timeout_callback", "soft_timeout", "timeout", "correlation_id")
    takes(ProcessPool.apply_async, None, print, (), {}, callback=print, **dict.fromkeys(options))


@canary("celery", "TaskPool.uses_semaphore, num_processes", INTAKE)
def test_kinds_of_pools() -> None:
    assert Processes.uses_semaphore
    assert not Threads.uses_semaphore
    assert Threads(8).num_processes == 8


@canary("billiard", "einfo.ExceptionInfo", INTAKE)
def test_a_thread_that_is_told_to_exit() -> None:
    def leave() -> None:
        raise SystemExit

    ended: list[Any] = []
    apply_target(leave, callback=ended.append)
    assert isinstance(ended[0], ExceptionInfo)
    with pytest.raises(WorkerShutdown):
        apply_target(Mock(side_effect=WorkerShutdown), callback=ended.append)


@canary("billiard", "pool.GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT, …_INTERVAL", "tasks/worker/shutdown.py")
def test_how_long_a_process_waits_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from billiard import pool  # noqa: PLC0415 - Celery replaces its names

    monkeypatch.setattr(pool, "GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT", 3)
    monkeypatch.setattr(pool, "GUARANTEE_MESSAGE_CONSUMPTION_RETRY_INTERVAL", 0.0)
    looks: list[None] = []

    class Counter:
        @property
        def value(self) -> int:
            looks.append(None)
            return 0

    process = SimpleNamespace(on_ready_counter=Counter())
    assert pool.Worker._ensure_messages_consumed(process, completed=1) is False
    assert len(looks) == 3
