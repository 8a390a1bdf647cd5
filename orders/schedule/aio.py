"""The schedule for asyncio: the methods that a web application needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Self, TypeVar

from redis import exceptions
from redis.asyncio import Redis

from orders.schedule.clients import async_client
from orders.schedule.scripts import Scripts, Source, chunks, split, translated

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")


class AsyncSchedule:
    """The sorted set, or all shards, for one event loop."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        shards = range(settings.shards) if settings.shards > 1 else (None,)
        self._shards = [Scripts(settings, number) for number in shards]

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return the schedule at ``ORDERS_REDIS_URL``. It connects on the first call of a method."""
        return cls(async_client(settings), settings)

    async def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at Unix times, or move them there; return how many were not scheduled before."""
        added = 0
        for scripts, part in self._split(entries, itemgetter(0)):
            for chunk in chunks(part):
                added += await self._run("enqueue", scripts, scripts.enqueued(chunk))
        return added

    async def remove(self, order_ids: Iterable[str], *, are_paid: bool = False) -> int:
        """Remove ids, whether leased or not; return how many were scheduled or buried. See `Schedule.remove`."""
        removed = 0
        for scripts, part in self._split(order_ids, str):
            for chunk in chunks(part):
                removed += await self._run("remove", scripts, scripts.removed(chunk, are_paid=are_paid))
        return removed

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    def _split(self, items: Iterable[T], id_of: Callable[[T], str]) -> Iterator[tuple[Scripts, list[T]]]:
        parts = split(items, len(self._shards), id_of)
        return ((self._shards[number], part) for number, part in parts.items())

    async def _run(self, name: str, scripts: Scripts, args: Sequence[Any]) -> int:
        with translated(self._settings):
            try:
                return await self._call(scripts.source(name), scripts.keys_of(name), args)
            except exceptions.NoPermissionError:
                if keys := scripts.lesser_keys_of(name):
                    return await self._call(scripts.source(name), keys, args)
                raise

    async def _call(self, script: Source, keys: Sequence[str], args: Sequence[Any]) -> int:
        changed: Any
        try:
            changed = await self._redis.evalsha(script.sha, len(keys), *keys, *args)
        except exceptions.NoScriptError:
            changed = await self._redis.eval(script.text, len(keys), *keys, *args)  # also caches it
        return int(changed)
