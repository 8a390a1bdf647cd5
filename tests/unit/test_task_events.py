"""The events of tasks, which a worker sends in groups."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

from celery import Celery

from tasks.worker.events import GroupedEvents


def test_an_event_that_comes_while_others_are_sent_is_sent_too() -> None:
    app, sent = Celery(broker="memory://", set_as_current=False), list[str]()
    with app.connection_for_write() as connection:
        dispatcher = app.events.Dispatcher(connection, buffer_group=["task"])

        def publish(events: list[dict[str, Any]], **_: object) -> None:
            sent.extend(event["uuid"] for event in events)
            if sent == ["1"]:  # as a thread of the pool
                dispatcher.send("task-succeeded", uuid="2")

        dispatcher.producer = Mock(publish=publish)
        step, consumer = GroupedEvents(None), SimpleNamespace(hub=Mock(), event_dispatcher=dispatcher, timer=Mock())
        step.start(consumer)
        dispatcher.send("task-succeeded", uuid="1")
        [(_, flush), _] = consumer.timer.call_repeatedly.call_args
        flush()
        flush()
    assert sent == ["1", "2"]
