"""Correct the times of messages, which are by Redis's clock, for the difference to this host's clock.

Otherwise a worker with a fast clock would drop all messages as expired, and one with a slow clock would start them
late.
"""

import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from celery import Task
from kombu.transport import virtual

from orders.schedule import Schedule
from tasks.worker.events import MaskedRequest

LEAD = 0.005
"""Seconds before a deadline at which a worker begins: it has told Redis of its attempt when the time comes. That halves
the median lateness of 500 orders a second, from 9 to 4 ms (docs/explanation/performance.md)."""

_ahead = timedelta(0)
"""How far this host's clock is ahead of Redis's."""


def measure(schedule: Schedule) -> float:
    """Measure and return how many seconds this host's clock is ahead of Redis's.

    Raises:
        ScheduleUnavailable: Redis is unreachable. The last measurement stays in use.
    """
    global _ahead  # noqa: PLW0603 - one clock per host
    before = time.time()
    redis_time = schedule.now()
    seconds = (before + time.time()) / 2 - redis_time
    _ahead = timedelta(seconds=seconds)
    return seconds


class TimedRequest(MaskedRequest):
    """A message in a worker. Its times are converted to this host's clock."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, maybe_iso8601=_parse, **options)

    @property
    def tzlocal(self) -> tzinfo:
        """The time zone of times without one."""
        return UTC

    acknowledged: bool

    def acknowledge(self) -> None:
        """Acknowledge the message: at once if kombu does that locally, else from the event loop like Celery.

        At once, it is in a thread, while the event loop may be closing the connection: any error may come of that. Then
        the event loop tries again, and logs the error. What stays is for `tasks.worker.stall`.
        """
        if not self.acknowledged and isinstance(self.message.channel, virtual.Channel):
            with suppress(Exception):
                self.message.ack()
                self.acknowledged = True
        super().acknowledge()

    @property
    def eta(self) -> datetime | None:
        """When to start the task: shortly before it is `due`."""
        eta: datetime | None = self._eta
        return eta and eta + _ahead - timedelta(seconds=LEAD)

    @property
    def due(self) -> float:
        """The time of the message, as Unix time by this host's clock; 0 if it has none."""
        eta: datetime | None = self._eta
        return (eta + _ahead).timestamp() if eta else 0.0

    @property
    def expires(self) -> datetime | None:
        """When the message expires."""
        expires: datetime | None = self._expires
        return expires and expires + _ahead

    @expires.setter
    def expires(self, value: datetime | None) -> None:
        self._expires = value


@lru_cache(maxsize=1024)
def _parse(text: str) -> datetime:
    """Parse a time of a message. Cached, because all messages of a claim expire at the same time."""
    return datetime.fromisoformat(text)


class TimedTask(Task):
    """A task whose messages have times by Redis's clock."""

    Request = f"{__name__}:TimedRequest"
