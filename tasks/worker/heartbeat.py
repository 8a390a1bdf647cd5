"""A sign of life: a file that a worker, or beat, touches each time that its loop comes round.

Whoever supervises the process looks at the file's age, which costs nothing: see docs/how-to/deploy.md. Old means that
the loop hangs, or waits for a server that hangs; `tasks.servers` tells which. A worker that has no connection to the
broker has no file: it is alive, and not ready.
"""

from pathlib import Path
from typing import Any

from celery import beat, bootsteps

import orders
from orders.errors import ConfigError

INTERVAL = 1.0
"""Seconds between two touches by a worker, if its loop comes round."""


class Heartbeat(bootsteps.StartStopStep):
    """Touches the file while a worker consumes."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, _: Any, **__: Any) -> None:
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin; called by Celery when the worker consumes.

        Raises:
            ConfigError: the file cannot be made.
        """
        if orders.current().settings.heartbeat_file:
            touch()
            self._timer = consumer.timer.call_repeatedly(INTERVAL, touch)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Take the file away; called by Celery when the worker stops or has lost its connection."""
        file = orders.current().settings.heartbeat_file
        if self._timer and file:
            self._timer.cancel()
            self._timer = None
            Path(file).unlink(missing_ok=True)


class Scheduler(beat.Scheduler):
    """Celery's scheduler, which touches the file with each tick: it ticks whether Redis answers or not."""

    def tick(self, *arguments: Any, **options: Any) -> float:
        """Send what is due; return the seconds until the next tick."""
        touch()
        wait: float = super().tick(*arguments, **options)
        return wait


def touch() -> None:
    """Touch the file, if there is to be one.

    Raises:
        ConfigError: it cannot be made.
    """
    file = orders.current().settings.heartbeat_file
    if file:
        try:
            Path(file).touch()
        except OSError as error:
            told = f"ORDERS_HEARTBEAT_FILE is {file!r}: accepted is a file that can be written here: {error}"
            raise ConfigError(told) from error
