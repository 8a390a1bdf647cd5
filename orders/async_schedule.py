"""The part of the schedule that a web app needs, for asyncio: the scripts of `orders.schedule`, awaited."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orders.scripting import RETRIED, TIMEOUT, Scripts, chunks, split, translated

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")

CONNECTIONS = 16
"""Connections that one event loop opens at most. Who finds none free waits for one, as long as for Redis."""


class AsyncSchedule:
    """The sorted set, or the shards, for the tasks of one event loop."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        shards = range(settings.shards) if settings.shards > 1 else (None,)
        self._shards = [Scripts(settings, number) for number in shards]
        self._enqueue = redis.register_script(self._shards[0].source("enqueue"))
        self._remove = redis.register_script(self._shards[0].source("remove"))

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return the schedule at ``ORDERS_REDIS_URL``. Nothing is sent before the first call."""
        pool = BlockingConnectionPool.from_url(
            settings.redis_url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 1, supported_errors=RETRIED),
            protocol=2,
        )
        return cls(Redis.from_pool(pool), settings)

    async def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at instants (Unix seconds), or move them there; return how many were not scheduled."""
        added = 0
        for scripts, part in self._split(entries, itemgetter(0)):
            for chunk in chunks(part):
                added += await self._run("enqueue", self._enqueue, scripts, scripts.pairs(chunk))
        return added

    async def remove(self, order_ids: Iterable[str]) -> int:
        """Take ids out, whoever holds their lease; return how many were scheduled or buried."""
        removed = 0
        for scripts, part in self._split(order_ids, str):
            for chunk in chunks(part):
                removed += await self._run("remove", self._remove, scripts, scripts.members(chunk))
        return removed

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _split(self, items: Iterable[T], id_of: Callable[[T], str]) -> Iterator[tuple[Scripts, list[T]]]:
        parts = split(items, len(self._shards), id_of)
        return ((self._shards[number], part) for number, part in parts.items())

    async def _run(self, name: str, script: Any, scripts: Scripts, arguments: Sequence[Any]) -> int:
        with translated(self._settings):
            changed: int = await script(keys=scripts.keys_of(name), args=arguments)
            return changed
