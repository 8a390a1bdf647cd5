"""A sweep times its messages by Redis's clock; a worker reads them by its own. This makes up for the difference.

Without it, a worker whose clock is fast would drop every message as expired, and one whose clock is slow would hold
orders for as long as it is behind.
"""

import logging
import time
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Any

from celery import Task
from kombu.transport import virtual

from orders.schedule import Schedule
from tasks.worker.events import MaskedRequest

logger = logging.getLogger(__name__)

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

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, maybe_iso8601=_parse, **options)

    @property
    def tzlocal(self) -> tzinfo:
        """What a time of a message without a zone is in."""
        return UTC

    acknowledged: bool

    def acknowledge(self) -> None:
        """Acknowledge the message: at once if no broker is to be told, else from the event loop as Celery does."""
        if not self.acknowledged and isinstance(self.message.channel, virtual.Channel):
            self.message.ack_log_error(logger, self.connection_errors)
            self.acknowledged = True
        super().acknowledge()

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


@lru_cache(maxsize=1024)
def _parse(moment: str) -> datetime:
    """Parse a time of a message: all messages of a claim end at the same."""
    return datetime.fromisoformat(moment)


class TimedTask(Task):
    """A task whose messages are timed by Redis's clock."""

    Request = "tasks.worker.clock:TimedRequest"
