"""A heartbeat file, which the event loop of a worker and the loop of beat touch.

A probe checks the age of the file; see docs/how-to/deploy.md. If the file is old, the loop hangs or waits for a server
that hangs; `tasks.servers` tells which. A worker without a connection to the broker has no file: it is alive, but not
ready.
"""

from pathlib import Path
from typing import Any

from celery import bootsteps
from celery.beat import Scheduler

import orders
from orders.errors import ConfigError
from tasks.worker.stall import Stall

__all__ = ["Heartbeat", "Scheduler", "touch"]  # `Scheduler` for a shop's celeryconfig that names it from here

INTERVAL = 1.0
"""Seconds between two touches by a worker."""


class Heartbeat(bootsteps.StartStopStep):
    """Touches the file while a worker consumes. Of a worker that gets nothing, the file grows old: see `Stall`."""

    requires = (Stall,)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._stall: Stall = consumer.stall
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Touch the file from now on; called by Celery when the worker consumes.

        Raises:
            ConfigError: the file cannot be created.
        """
        if orders.current().settings.heartbeat_file:
            self._touch()
            self._timer = consumer.timer.call_repeatedly(INTERVAL, self._touch)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Delete the file; called by Celery when the worker stops or has lost its connection."""
        file = orders.current().settings.heartbeat_file
        if self._timer and file:
            self._timer.cancel()
            self._timer = None
            if not self._stall.is_stalled:
                Path(file).unlink(missing_ok=True)

    def _touch(self) -> None:
        if not self._stall.is_stalled:
            touch()


def touch() -> None:
    """Touch the file, if ``ORDERS_HEARTBEAT_FILE`` is set.

    Raises:
        ConfigError: the file cannot be created.
    """
    file = orders.current().settings.heartbeat_file
    if file:
        try:
            Path(file).touch()
        except OSError as error:
            message = f"ORDERS_HEARTBEAT_FILE is {file!r}: it must be a file that this process can write: {error}"
            raise ConfigError(message) from error
