"""The part of the schedule that a web app needs, for asyncio: the scripts of `orders.schedule`, awaited."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Self

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from orders.scripting import RETRIED, TIMEOUT, Scripts, chunks, translated

if TYPE_CHECKING:
    from orders.config import Settings

CONNECTIONS = 16
"""Connections that one event loop opens at most. Who finds none free waits for one, as long as for Redis."""


class AsyncSchedule:
    """The sorted set, for the tasks of one event loop."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._scripts = scripts = Scripts(settings)
        self._enqueue = redis.register_script(scripts.source("enqueue"))
        self._remove = redis.register_script(scripts.source("remove"))

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
        pairs = [self._scripts.pairs(chunk) for chunk in chunks(entries)]
        return sum([await self._run("enqueue", self._enqueue, arguments) for arguments in pairs])

    async def remove(self, order_ids: Iterable[str]) -> int:
        """Take ids out, whoever holds their lease; return how many were scheduled or buried."""
        members = [self._scripts.members(chunk) for chunk in chunks(order_ids)]
        return sum([await self._run("remove", self._remove, arguments) for arguments in members])

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    async def _run(self, name: str, script: Any, arguments: Sequence[Any]) -> int:
        with translated(self._settings):
            changed: int = await script(keys=self._scripts.keys_of(name), args=arguments)
            return changed
