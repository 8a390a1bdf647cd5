"""What follows the commits of an event loop: told to Redis in the background, so that nothing waits for it.

SQLAlchemy tells of a commit in the midst of it, where nothing can be awaited but what it awaits itself, and where a
task that is cancelled would lose a connection. So what is to follow waits in a queue, which a task of its own works
off, in the order of the commits, as many at a time as there are. What waits when the process dies is lost, and found
by reconciling.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from orders.logs import about
from orders.schedule.aio import AsyncSchedule
from orders.schedule.outages import NOT_REMOVED, Outages

Scheduled = tuple[str, float]
"""An id, and the instant at which it is due in Unix seconds."""

logger = logging.getLogger(__name__)


class CommitQueue:
    """The queue of one event loop, and the schedule that it is for.

    Args:
        schedule: the schedule of the loop.
        outages: counts what could not be told.
        loop: the loop.
    """

    def __init__(self, schedule: AsyncSchedule, outages: Outages, loop: asyncio.AbstractEventLoop) -> None:
        self.schedule = schedule
        self._outages = outages
        self._loop = loop
        self._waiting: deque[Scheduled | str] = deque()
        self._is_wanted = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._task = loop.create_task(self._run())

    @property
    def is_open(self) -> bool:
        """Whether it was neither closed nor cancelled."""
        return not self._task.done()

    async def open(self) -> None:
        """Have its task begin, so that it learns when `asyncio.run` ends the loop by cancelling what runs in it."""
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Tell what waits, and close the connections."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def enqueue(self, entries: Sequence[Scheduled]) -> None:
        """Schedule ids in the background; may be called from any thread."""
        self._add(entries)

    def remove(self, member: str) -> None:
        """Take an id out of the schedule in the background; may be called from any thread."""
        self._add([member])

    async def drain(self) -> None:
        """Wait until all that waits has been told, or Redis has failed."""
        while self._waiting:
            self._wake()
            await self._is_idle.wait()

    def _add(self, items: Sequence[Scheduled | str]) -> None:
        self._waiting.extend(items)
        self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._task.done():
            self._task = self._loop.create_task(self._run())
        self._is_idle.clear()
        self._is_wanted.set()

    async def _run(self) -> None:
        task = asyncio.current_task()
        try:
            # (Before Python 3.12 a time-out of redis-py may swallow a cancellation; the task still knows of it.)
            while task and not task.cancelling():
                await self._is_wanted.wait()
                self._is_wanted.clear()
                await self._tell()
        finally:
            await self._tell()
            await self.schedule.close()

    async def _tell(self) -> None:
        while self._waiting:
            first = type(self._waiting[0])
            told = list(takewhile(lambda item: type(item) is first, list(self._waiting)))  # noqa: B023 - used at once
            try:
                await self._tell_alike(told)
            except Exception:
                logger.exception(
                    "what was to follow a commit failed; the schedule will find out by itself",
                    extra=about("redis_not_told"),
                )
            for _ in told:  # only now: if this is cancelled, they are told once more
                self._waiting.popleft()
        self._is_idle.set()

    async def _tell_alike(self, items: Sequence[Scheduled | str]) -> None:
        scheduled = [item for item in items if not isinstance(item, str)]
        removed = [item for item in items if isinstance(item, str)]
        if scheduled:
            with self._outages.forgiven([member for member, _ in scheduled]):
                await self.schedule.enqueue(scheduled)
        if removed:
            with self._outages.forgiven(removed, NOT_REMOVED):
                await self.schedule.remove(removed)
