"""A sweep times its messages by Redis's clock; a worker reads them by its own. This makes up for the difference.

Without it, a worker whose clock is fast would drop every message as expired, and one whose clock is slow would hold
orders for as long as it is behind.
"""

import time
from datetime import datetime, timedelta

from celery import Task

from orders.schedule import Schedule
from tasks.events import MaskedRequest

_ahead = timedelta(0)
"""How far this host's clock is ahead of Redis's."""


def measure(schedule: Schedule) -> float:
    """Compare the clocks; return the seconds that this host's is ahead.

    Raises:
        ScheduleUnavailable: Redis is unreachable. What was measured before goes on to hold.
    """
    global _ahead  # noqa: PLW0603 - one clock per host
    before = time.time()
    theirs = schedule.now()
    seconds = (before + time.time()) / 2 - theirs
    _ahead = timedelta(seconds=seconds)
    return seconds


class TimedRequest(MaskedRequest):
    """A message in a worker, with its times by this host's clock."""

    @property
    def eta(self) -> datetime | None:
        """When to start."""
        eta: datetime | None = self._eta
        return eta and eta + _ahead

    @property
    def expires(self) -> datetime | None:
        """When it is void."""
        expires: datetime | None = self._expires
        return expires and expires + _ahead

    @expires.setter
    def expires(self, value: datetime | None) -> None:
        self._expires = value


class TimedTask(Task):
    """A task whose messages are timed by Redis's clock."""

    Request = "tasks.clock:TimedRequest"
