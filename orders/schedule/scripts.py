"""How the schedule's scripts are called: their keys, their arguments, how long to wait, what an error means.

`orders.schedule.Schedule` and `orders.schedule.AsyncSchedule` say the same to Redis, each in its own way.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from hashlib import sha1
from importlib.resources import files
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from redis import exceptions

from orders import ids, tracing
from orders.config import mask
from orders.errors import ScheduleError, ScheduleUnavailable
from orders.schedule.keys import Keys, home

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")

CHUNK = 1000
"""Ids that one call of a script handles: Redis does nothing else meanwhile, for about a millisecond."""

TIMEOUT = 5.0
"""Seconds to wait for Redis, to connect and for an answer, unless the URL says ``?socket_timeout=``."""

AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,  # a master that has become a replica
    exceptions.ClusterError,
    exceptions.RedisClusterException,
    exceptions.TryAgainError,  # a slot that is being moved
)
"""What passes: a server that is down, or that is no longer the one to ask."""

_AWAY_WORDS = re.compile(r"\b(READONLY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN)\b")
"""The same, in what an older server says of an error inside a script."""

RETRIED = (exceptions.ConnectionError,)
"""What is tried once more: a connection that was closed. A Redis that hangs is not asked twice."""


class Source(NamedTuple):
    """A script."""

    text: str
    sha: str
    """By what a server knows it."""


@cache
def _source(name: str) -> Source:
    text = (files("orders.schedule") / "lua" / f"{name}.lua").read_text()
    return Source(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """The scripts, on the keys of one sorted set.

    Args:
        settings: the settings.
        shard: which one, from 0; None for the sorted set that is named ``ORDERS_KEY``.
    """

    def __init__(self, settings: Settings, shard: int | None = None) -> None:
        keys = Keys(settings.key)
        self.keys = keys = keys if shard is None else keys.shard(shard)
        self.offset = settings.score_offset
        tried = [keys.schedule, keys.attempts, keys.failures]
        self._keys = {
            "enqueue": [*tried, keys.dead, keys.traces],
            "adopt": [keys.schedule, keys.dead, keys.stats],
            "claim": [keys.schedule, keys.attempts, keys.stats, keys.leases],
            "start": [keys.schedule, keys.attempts],
            "settle": [*tried, keys.stats, keys.traces],
            "reschedule": [*tried, keys.stats],
            "bury": [*tried, keys.dead, keys.stats, keys.traces],
            "remove": [*tried, keys.dead, keys.traces],
            "retry": [*tried, keys.dead],
            "now": [keys.schedule],
            "entry": [*tried, keys.dead],
            "standing": [keys.schedule, keys.attempts, keys.dead, keys.stats, keys.leases],
            "peek": [*tried, keys.dead],
            "arrive": [*tried, keys.dead],
            "leave": [*tried, keys.dead, keys.traces],
        }

    def keys_of(self, name: str) -> Sequence[str]:
        """Return the keys of a script, as its header lists them."""
        return self._keys[name]

    def source(self, name: str) -> Source:
        """Return a script."""
        return _source(name)

    def score(self, instant: float) -> str:
        """Return the score of an instant in Unix seconds."""
        return f"{instant - self.offset:.6f}"

    def pairs(self, entries: Iterable[tuple[str, float]]) -> list[Any]:
        """Return the arguments for ids and their instants: score, id, score, id."""
        return [part for order_id, due in entries for part in (self.score(due), ids.encode(order_id))]

    def enqueued(self, entries: Iterable[tuple[str, float]]) -> list[Any]:
        """Return the arguments for ids that the shop schedules: `pairs`, and behind them the trace, if there is one."""
        arguments, trace = self.pairs(entries), tracing.traceparent()
        return arguments if trace is None else [*arguments, trace]

    def head(self, lease: float, counts: Mapping[str, int]) -> list[Any]:
        """Return the first arguments of a script that ends an attempt: the token, and what it adds to counters."""
        return [repr(lease), len(counts), *chain.from_iterable(counts.items())]

    def members(self, order_ids: Iterable[str]) -> list[Any]:
        """Return the arguments for ids."""
        return list(map(ids.encode, order_ids))


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield items in lists of at most `CHUNK`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def split(items: Iterable[T], shards: int, id_of: Callable[[T], str]) -> Mapping[int, list[T]]:
    """Return which items belong to which shard, by the ids that they have."""
    if shards == 1:
        return {0: list(items)}
    parts: dict[int, list[T]] = defaultdict(list)
    for item in items:
        parts[home(ids.encode(id_of(item)), shards)].append(item)
    return parts


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except AWAY as error:
        raise _unavailable(settings, error) from error
    except exceptions.RedisError as error:
        if _AWAY_WORDS.search(str(error)):
            raise _unavailable(settings, error) from error
        raise ScheduleError(f"Redis refused a command on the key {settings.key!r}: {error}") from error


def _unavailable(settings: Settings, error: Exception) -> ScheduleUnavailable:
    return ScheduleUnavailable(f"Redis at ORDERS_REDIS_URL {mask(settings.redis_url)}: {error}")
