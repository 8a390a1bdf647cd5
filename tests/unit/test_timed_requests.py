"""When a worker begins with a message, and how it acknowledges it, with kombu's broker in memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from celery import Celery

from tasks import app as library
from tasks.worker import clock
from tasks.worker.clock import LEAD, TimedRequest

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
def request_() -> Iterator[TimedRequest]:
    """A request of a message that was delivered."""
    app = Celery("shop", broker="memory://acknowledged", set_as_current=False)
    with app, app.connection_for_write() as connection:
        queue = app.amqp.queues["celery"](connection.default_channel)
        queue.declare()
        app.send_task("orders.expire", ["1"], {"lease": 1.0}, eta=NOON, ignore_result=True, connection=connection)
        message = queue.get()
        assert message is not None
        yield TimedRequest(message, app=app, task=library.tasks["orders.expire"], on_ack=Mock())


def test_a_worker_begins_shortly_before_the_time_of_a_message(
    request_: TimedRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_ahead", timedelta(hours=1))
    assert request_.eta == NOON + timedelta(hours=1, seconds=-LEAD)
    assert request_.due == (NOON + timedelta(hours=1)).timestamp()


def test_it_is_acknowledged_at_once(request_: Any) -> None:
    request_.acknowledge()
    request_.acknowledge()
    assert request_.acknowledged
    assert request_.message.acknowledged
    request_._on_ack.assert_not_called()


def test_an_error_of_a_connection_that_is_being_closed_is_left_to_the_event_loop(
    request_: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # which is what a thread gets that reads while the event loop closes
    monkeypatch.setattr(request_.message.channel, "basic_ack", Mock(side_effect=ValueError("I/O on closed file")))
    request_.on_accepted(1, 0.0)
    request_.acknowledge()
    request_._on_ack.assert_called_once()
