"""The Lua scripts of the schedule: their keys, their arguments, how to run them, and what their errors mean.

`orders.schedule.Schedule` runs them for threads, `orders.schedule.AsyncSchedule` for asyncio.
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

from redis import Redis, exceptions

from orders import ids, tracing
from orders.config import Brake, mask
from orders.errors import ScheduleError, ScheduleUnavailable
from orders.schedule.keys import Keys, home

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")

SCRIPTS: Mapping[str, Sequence[str]] = {
    "adopt": ("schedule", "dead", "stats"),
    "advance": ("schedule", "failures", "leases"),
    "arrive": ("schedule", "attempts", "failures", "dead"),
    "bury": ("schedule", "attempts", "failures", "dead", "stats", "traces", "history"),
    "claim": ("schedule", "attempts", "stats", "leases"),
    "enqueue": ("schedule", "attempts", "failures", "dead", "traces"),
    "entry": ("schedule", "attempts", "failures", "dead"),
    "history": ("history",),
    "leave": ("schedule", "attempts", "failures", "dead", "traces"),
    "now": ("schedule",),
    "pause": ("stats", "brake"),
    "peek": ("schedule", "attempts", "failures", "dead"),
    "remove": ("schedule", "attempts", "failures", "dead", "traces", "history"),
    "reschedule": ("schedule", "attempts", "failures", "stats", "history"),
    "retry": ("schedule", "attempts", "failures", "dead"),
    "settle": ("schedule", "attempts", "failures", "stats", "traces", "brake", "history"),
    "standing": ("schedule", "attempts", "dead", "stats", "leases"),
    "start": ("schedule", "attempts", "stats"),
    "take_turn": ("stats",),
}
"""Each script in ``lua/`` with its ``KEYS``, in order: names of properties of `orders.schedule.keys.Keys`."""

HISTORY = "history"
"""The key that a script can do without, always its last one. Its functions are in ``lua/shared/history.lua``."""

CHUNK = 1000
"""Ids per call of a script. Redis does nothing else during the call, which takes about a millisecond."""

TIMEOUT = 5.0
"""Seconds to wait for a connection to Redis and for a reply, unless the URL sets ``?socket_timeout=``."""

AWAY = (
    exceptions.ConnectionError,
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,  # a master that has become a replica, in a cluster
    exceptions.ClusterError,
    exceptions.RedisClusterException,
    exceptions.TryAgainError,  # the slot is being migrated
)
"""Errors that pass: the server is down, or is no longer the master."""

_AWAY_WORDS = re.compile(r"\b(READONLY|NOREPLICAS|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|LOADING|MISCONF)\b")
"""The same errors as older servers report them from inside a script."""

RETRIED = (exceptions.ConnectionError,)
"""Errors after which a command is sent once more: a closed connection, not a timeout."""


class Source(NamedTuple):
    """A script."""

    text: str
    sha: str
    """The SHA-1 of the text, for ``EVALSHA``."""


@cache
def _source(name: str) -> Source:
    folder = files(__package__) / "lua"
    text = (folder / f"{name}.lua").read_text()
    if HISTORY in SCRIPTS[name]:
        text = (folder / "shared" / "history.lua").read_text() + text
    return Source(text, sha1(text.encode(), usedforsecurity=False).hexdigest())


class Scripts:
    """The scripts with the keys of one sorted set.

    Args:
        settings: the settings.
        shard: the shard, from 0; None for the sorted set named ``ORDERS_KEY``.
    """

    def __init__(self, settings: Settings, shard: int | None = None) -> None:
        keys = Keys(settings.key)
        self.keys = keys if shard is None else keys.shard(shard)
        self.offset = settings.score_offset
        limit, seconds = Brake.parse(settings.brake) if settings.brake else (0, 1.0)
        self.brake = (-(-limit // settings.shards), seconds)
        """The limit of the brake for this sorted set, each shard having its part, and its window."""
        self._keys = {script: [getattr(self.keys, name) for name in names] for script, names in SCRIPTS.items()}

    def keys_of(self, name: str) -> Sequence[str]:
        """Return the ``KEYS`` of a script."""
        return self._keys[name]

    def lesser_keys_of(self, name: str) -> Sequence[str]:
        """Return the ``KEYS`` of a script for a user who has no right to the history; none if there are no such keys.

        An ``aclfile`` may name the keys of the release before.
        """
        *keys, last = self._keys[name]
        return keys if last == self.keys.history else ()

    def source(self, name: str) -> Source:
        """Return a script."""
        return _source(name)

    def score(self, due_at: float) -> str:
        """Convert a Unix time to a score."""
        return f"{due_at - self.offset:.6f}"

    def pairs(self, entries: Iterable[tuple[str, float]]) -> list[Any]:
        """Return the arguments for ids and their Unix times: score, id, score, id."""
        return [part for order_id, due_at in entries for part in (self.score(due_at), ids.encode(order_id))]

    def enqueued(self, entries: Iterable[tuple[str, float]]) -> list[Any]:
        """Return the arguments of ``enqueue``: the `pairs`, then the trace context if there is one."""
        arguments, trace = self.pairs(entries), tracing.traceparent()
        return arguments if trace is None else [*arguments, trace]

    def head(self, lease: float, counts: Mapping[str, int], own: Sequence[Any] = ()) -> list[Any]:
        """Return the first arguments of a script that ends an attempt: the token, then the counters to increase.

        Args:
            lease: the token.
            counts: the counters.
            own: what only this script takes.
        """
        return [repr(lease), *own, len(counts), *chain.from_iterable(counts.items())]

    def removed(self, order_ids: Iterable[str], *, are_paid: bool) -> list[Any]:
        """Return the arguments of ``remove``."""
        return [int(are_paid), *map(ids.encode, order_ids)]


class ScriptRunner:
    """Runs the scripts on one sorted set. Threads may share it; a forked process opens its own connections.

    Args:
        redis: the client.
        settings: the settings.
        number: the shard, from 0; None for the sorted set named ``ORDERS_KEY``.
    """

    def __init__(self, redis: Redis, settings: Settings, number: int | None = None) -> None:
        self.number = number
        self._redis = redis
        self._settings = settings
        self._scripts = Scripts(settings, number)
        self._keys = self._scripts.keys

    def _run(self, name: str, args: Sequence[Any]) -> Any:
        with translated(self._settings):
            try:
                return self._call(name, self._scripts.keys_of(name), args)
            except exceptions.NoPermissionError:
                if keys := self._scripts.lesser_keys_of(name):
                    return self._call(name, keys, args)
                raise

    def _call(self, name: str, keys: Sequence[str], args: Sequence[Any]) -> Any:
        script = self._scripts.source(name)
        try:
            return self._redis.evalsha(script.sha, len(keys), *keys, *args)
        except exceptions.NoScriptError:
            return self._redis.eval(script.text, len(keys), *keys, *args)  # also caches it


def chunks(items: Iterable[T]) -> Iterator[list[T]]:
    """Yield items in lists of at most `CHUNK`."""
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def split(items: Iterable[T], shards: int, id_of: Callable[[T], str]) -> Mapping[int, list[T]]:
    """Group items by the shard of their ids."""
    if shards == 1:
        return {0: list(items)}
    parts: dict[int, list[T]] = defaultdict(list)
    for item in items:
        parts[home(ids.encode(id_of(item)), shards)].append(item)
    return parts


@contextmanager
def translated(settings: Settings) -> Iterator[None]:
    """Raise redis-py's errors as ``ScheduleError`` or ``ScheduleUnavailable``."""
    try:
        yield
    except AWAY as error:
        raise _unavailable(settings, error) from error
    except exceptions.RedisError as error:
        if _AWAY_WORDS.search(str(error)):
            raise _unavailable(settings, error) from error
        raise ScheduleError(f"Redis rejected a command on the key {settings.key!r}: {error}") from error


def _unavailable(settings: Settings, error: Exception) -> ScheduleUnavailable:
    return ScheduleUnavailable(f"Redis at ORDERS_REDIS_URL {mask(settings.redis_url)}: {error}")
