"""Real Celery processes, and what their own events say they did."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import pytest
from celery import Celery
from celery.events import EventReceiver

from orders.config.settings import PREFIX, Settings
from tasks.broker import Broker

Event = dict[str, Any]

PATIENCE = 3.0
"""How much longer than on an idle machine anything may take: other tests run at the same time."""


def wait_until(is_so: Callable[[], object], *, within: float, why: str) -> None:
    """Wait for what another process does; fail if it does not within so many seconds."""
    give_up = time.monotonic() + within * PATIENCE
    while not is_so():
        assert time.monotonic() < give_up, why
        time.sleep(0.05)


def environment(settings: Settings) -> dict[str, str]:
    given = {name: getattr(settings, name) for name in settings.model_fields_set}
    written = {name: ",".join(value) if isinstance(value, tuple) else str(value) for name, value in given.items()}
    return {**os.environ, **{f"{PREFIX}{name.upper()}": value for name, value in written.items()}}


@contextmanager
def running(name: str, arguments: list[str], settings: Settings, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run a command of this Python, with its output in a file; stop it at the end."""
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", *arguments], cwd=folder, env=environment(settings), stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sys.stdout.write(log.read_text(errors="replace")[-5000:])  # shown if the test fails


class Watcher:
    """Listens to Celery's events, as Flower does."""

    def __init__(self, broker: Broker | str) -> None:
        broker = Broker(broker) if isinstance(broker, str) else broker
        self.events: list[Event] = []
        app = Celery(broker=broker.url, set_as_current=False)
        app.conf.broker_use_ssl = broker.use_ssl
        self._connection = app.connection_for_read()
        self._receiver = EventReceiver(self._connection, handlers={"*": self.events.append}, app=app)
        self._thread = threading.Thread(target=self._receiver.capture, kwargs={"limit": None, "timeout": None})

    def of(self, kind: str, task: str | None = None) -> list[Event]:
        names = {event["uuid"]: event["name"] for event in list(self.events) if event["type"] == "task-received"}
        return [
            event
            for event in list(self.events)
            if event["type"] == kind and (task is None or names.get(event.get("uuid")) == task)
        ]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._receiver.should_stop = True
        self._thread.join()
        self._connection.release()


@pytest.fixture
def watcher(settings: Settings, redis: object) -> Iterator[Watcher]:
    with Watcher(settings.broker_url) as watcher:
        yield watcher
