"""What our tasks use of Celery's requests, tracer, messages, signals and logs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock
from uuid import uuid4

import pytest
from billiard.einfo import ExceptionInfo
from celery import Celery, signals
from celery.app.trace import trace_task_ret
from celery.utils.log import ColorFormatter, get_multiprocessing_logger
from celery.worker import state
from celery.worker.request import Request

from tests.canaries.canary import canary
from tests.canaries.conftest import message_of

CLOCK = "tasks/worker/clock.py"
EVENTS = "tasks/worker/events.py"
GROUP = "tasks/worker/group.py"
INTAKE = "tasks/worker/intake.py"
LOGS = "tasks/worker/logs.py"
PUBLISHER = "tasks/publisher.py"
WATCH = "tasks/worker/watch.py"
MOMENT = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def request_of(app: Celery) -> Iterator[Any]:
    """Returns the request of a message, whose events are in its ``sent``."""

    def make(*words: str, kind: type[Any] = Request, **options: Any) -> Any:
        sent: list[str] = []
        eventer = SimpleNamespace(enabled=True, send=lambda name, **_: sent.append(name))
        task, message = app.tasks["canary.sing"], message_of(app, *words, **options)
        made = kind(message, app=app, task=task, eventer=eventer, on_ack=Mock())
        made.sent = sent
        return made

    yield make
    for each in (state.requests, state.reserved_requests, state.revoked, state.total_count):
        each.clear()


@canary("celery", "Request(maybe_iso8601=…), tzlocal, _eta, _expires", CLOCK)
def test_times_of_a_request(app: Celery, request_of: Any) -> None:
    app.conf.timezone = "Asia/Tokyo"  # in which it would read them
    read: list[str] = []

    class Timed(Request):  # type: ignore[misc]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, maybe_iso8601=self.parse, **options)

        def parse(self, text: str) -> datetime:
            read.append(text)
            return datetime.fromisoformat(text).replace(tzinfo=None)

        tzlocal = UTC

    request = request_of(kind=Timed, eta=MOMENT, expires=MOMENT + timedelta(1))
    assert read == [MOMENT.isoformat(), (MOMENT + timedelta(1)).isoformat()]
    assert (request._eta, request._expires) == (MOMENT, MOMENT + timedelta(1))
    # and the properties that we replace are what the strategy, and `maybe_expire`, look at
    request.expires = datetime(2020, 1, 1, tzinfo=UTC)
    assert request._expires.year == 2020
    assert request.maybe_expire()


@canary("celery", "Request.acknowledge, acknowledged", CLOCK)
def test_acknowledge(request_of: Any) -> None:
    request = request_of()
    assert not request.acknowledged
    request.acknowledge()
    request.acknowledge()
    assert request.acknowledged
    request._on_ack.assert_called_once()
    # `on_accepted` calls what a subclass has
    other = request_of()
    other.acknowledge = Mock()
    other.on_accepted(1, 0.0)
    other.acknowledge.assert_called_once_with()


@canary("celery", "Request.send_event", EVENTS)
def test_send_event(request_of: Any) -> None:
    told: list[str] = []

    class Masked(Request):  # type: ignore[misc]
        def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
            told.extend([type, *sorted(fields)])

    try:
        raise ValueError("redis://:secret@host")
    except ValueError:
        request_of(kind=Masked).on_failure(ExceptionInfo(), return_ok=True)
    assert told == ["task-failed", "exception", "traceback"]


@canary("celery", "Request.type, ignore_result, eta, request_dict, message.payload", INTAKE)
def test_what_a_request_tells(request_of: Any) -> None:
    request = request_of("tweet", eta=MOMENT)
    assert (request.type, request.ignore_result, request.eta) == ("canary.sing", True, MOMENT)
    args, kwargs, embed = request.message.payload
    assert (args, kwargs) == (["tweet"], {})
    assert not any(embed.values())
    assert request.request_dict["id"] == request.id
    assert (request.task.soft_time_limit, request.task.time_limit) == (None, None)
    request.order_ids = ["ours"]  # it takes attributes of ours


@canary("celery", "Request.on_accepted, on_success, on_failure, on_timeout", INTAKE)
def test_how_a_request_is_told(request_of: Any) -> None:
    request = request_of()
    request.on_accepted(1, 0.0)
    request.on_success((0, "'tweet'", 0.1))
    assert request.sent == ["task-started", "task-succeeded"]
    failed = request_of()
    try:
        raise ValueError("hoarse")
    except ValueError:
        failed.on_success((1, ExceptionInfo(), 0.1))
    assert failed.sent == ["task-failed"]
    timed_out = request_of()
    timed_out.on_timeout(True, 1)
    assert timed_out.sent == []


@canary("celery", "Request.revoked, maybe_expire; worker.state.revoked, revoked_stamps", INTAKE)
def test_revoked(request_of: Any) -> None:
    request = request_of()
    assert not request.revoked()
    state.revoked.add(request.id)
    assert request.revoked()
    assert state.revoked
    assert not state.revoked_stamps
    late = request_of(expires=datetime(2020, 1, 1, tzinfo=UTC))
    assert late.maybe_expire()
    assert not request_of().maybe_expire()


@canary("celery", "app.trace.trace_task_ret", GROUP)
def test_trace_task_ret(app: Celery) -> None:
    for words, failed in ((["tweet"], 0), ([1], 1)):
        body, headers = (words, {"times": 2}, None), {"id": "1", "ignore_result": True}
        outcome = trace_task_ret("canary.sing", "1", headers, body, None, None, app=app)
        assert outcome[0] == failed
        assert isinstance(outcome[1], ExceptionInfo) if failed else outcome[1] == "'tweet tweet'"
        assert len(outcome) == 3


@canary("celery", "AMQP.as_task_v2, send_task_message", PUBLISHER)
def test_messages(app: Celery) -> None:
    made = app.amqp.as_task_v2(
        "1",
        "canary.sing",
        ["tweet"],
        {"times": 2},
        eta=MOMENT,
        expires=MOMENT,
        ignore_result=True,
        argsrepr="all of them",
        kwargsrepr="{}",
        root_id="2",
        parent_id="3",
    )
    headers, properties, body, sent_event = made
    assert (headers["id"], headers["task"], headers["argsrepr"]) == ("1", "canary.sing", "all of them")
    assert (headers["eta"], headers["expires"]) == (MOMENT.isoformat(), MOMENT.isoformat())
    assert (headers["root_id"], headers["parent_id"], headers["ignore_result"]) == ("2", "3", True)
    assert {"correlation_id", "reply_to"} <= properties.keys()
    assert body[:2] == (["tweet"], {"times": 2})
    assert sent_event is None
    producer, queue = Mock(), app.amqp.queues["celery"]
    app.amqp.send_task_message(producer, "canary.sing", made, queue=queue, declare=[], expiration=1.0, retry=False)
    published = producer.publish.call_args.kwargs
    assert (published["routing_key"], published["declare"], published["retry"]) == ("celery", [], False)
    assert published["expiration"] == 1.0


@canary("celery", "AMQP.router.route, AMQP.queues", PUBLISHER, INTAKE, "tasks/checks.py", "tasks/wiring.py", WATCH)
def test_where_a_task_is_sent(app: Celery) -> None:
    name = str(uuid4())
    app.conf.task_routes = {"canary.sing": {"queue": name}}
    assert app.amqp.router.route({}, "canary.sing")["queue"].name == name
    assert app.amqp.queues[name].name == name


@canary("celery", "Signal.receivers", PUBLISHER, GROUP)
def test_receivers() -> None:
    def listen(**_: object) -> None:
        """Hear nothing."""

    signal = signals.task_retry
    assert not signal.receivers
    signal.connect(listen)
    try:
        assert signal.receivers
    finally:
        signal.disconnect(listen)
    assert not signal.receivers


@canary("celery", "utils.log.ColorFormatter, get_multiprocessing_logger", LOGS)
def test_loggers(app: Celery) -> None:
    logger = logging.Logger("canary")  # noqa: LOG001 - nobody else is to have it
    app.log.setup_handlers(logger, None, app.log.format, ColorFormatter)
    assert [type(handler.formatter) for handler in logger.handlers] == [ColorFormatter]
    assert isinstance(get_multiprocessing_logger(), logging.Logger)


@canary("celery", "LogRecord.data['name'] of worker.strategy and app.trace", LOGS)
def test_lines_of_a_task(app: Celery, consumer: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    consumer.update_strategies()
    consumer.create_task_handler()(message_of(app, "tweet"))
    headers = {"id": "1", "ignore_result": True}
    trace_task_ret("canary.sing", "1", headers, (["tweet"], {}, None), None, None, app=app)
    lines = [(line.name, getattr(line, "data", {}).get("name"), line.levelno) for line in caplog.records]
    assert ("celery.worker.strategy", "canary.sing", logging.INFO) in lines
    assert ("celery.app.trace", "canary.sing", logging.INFO) in lines
