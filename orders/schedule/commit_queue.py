"""A queue of schedule updates that wait for the commits of an event loop, and a task that sends them to Redis.

SQLAlchemy's commit events are synchronous: their listeners cannot await Redis, and a task that is cancelled there would
lose a connection. So the listeners put updates into this queue, and its task sends them in the order of the commits,
in batches. If the process dies, updates in the queue are lost; reconcile finds their orders.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from orders.logs import about
from orders.schedule.aio import AsyncSchedule
from orders.schedule.outages import NOT_REMOVED, Outages

Scheduled = tuple[str, float]
"""An id, and when it is due in Unix seconds."""


class Removed(NamedTuple):
    """An id to remove."""

    member: str
    is_paid: bool
    """Whether a payment was accepted for it."""


logger = logging.getLogger(__name__)


class CommitQueue:
    """The queue of one event loop, and its schedule.

    Args:
        schedule: the schedule of the loop.
        outages: counts the updates that failed.
        loop: the loop.
    """

    def __init__(self, schedule: AsyncSchedule, outages: Outages, loop: asyncio.AbstractEventLoop) -> None:
        self.schedule = schedule
        self._outages = outages
        self._loop = loop
        self._waiting: deque[Scheduled | Removed] = deque()
        self._is_wanted = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._task = loop.create_task(self._run())

    @property
    def is_open(self) -> bool:
        """Whether it has been neither closed nor cancelled."""
        return not self._task.done()

    async def open(self) -> None:
        """Let the task start, so that it sees the cancellation when `asyncio.run` ends the loop."""
        await asyncio.sleep(0)

    async def close(self) -> None:
        """Send what is in the queue, then close the connections."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def enqueue(self, entries: Sequence[Scheduled]) -> None:
        """Schedule ids in the background. May be called from any thread."""
        self._add(entries)

    def remove(self, member: str, *, is_paid: bool = False) -> None:
        """Remove an id in the background. May be called from any thread."""
        self._add([Removed(member, is_paid)])

    async def drain(self) -> None:
        """Wait until the queue is empty. Updates that fail are logged and dropped."""
        while self._waiting:
            self._wake()
            await self._is_idle.wait()

    def _add(self, items: Sequence[Scheduled | Removed]) -> None:
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
            # Before Python 3.12, a timeout in redis-py may swallow a cancellation, but cancelling() still counts it.
            while task and not task.cancelling():
                await self._is_wanted.wait()
                self._is_wanted.clear()
                await self._send_all()
        finally:
            await self._send_all()
            await self.schedule.close()

    async def _send_all(self) -> None:
        while self._waiting:
            batch = next(list(alike) for _, alike in groupby(list(self._waiting), key=_kind))
            try:
                await self._send(batch)
            except Exception:
                logger.exception(
                    "could not update the schedule after a commit; reconcile or a worker will correct it",
                    extra=about("redis_not_told"),
                )
            for _ in batch:  # after sending: if this is cancelled, the batch is sent again
                self._waiting.popleft()
        self._is_idle.set()

    async def _send(self, items: Sequence[Scheduled | Removed]) -> None:
        """Send items of one kind."""
        members, kind = [item[0] for item in items], _kind(items[0])
        if kind is None:
            with self._outages.forgiven(members):
                await self.schedule.enqueue([item for item in items if not isinstance(item, Removed)])
        else:
            with self._outages.forgiven(members, NOT_REMOVED):
                await self.schedule.remove(members, are_paid=kind)


def _kind(item: Scheduled | Removed) -> bool | None:
    """Return None for an id to schedule; for one to remove, whether it is paid. One call sends items of one kind."""
    return item.is_paid if isinstance(item, Removed) else None
