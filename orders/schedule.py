"""The schedule: a Redis sorted set of order ids by deadline. The only module that talks to it.

Each verb is one Lua script in `scripts/`, so each is atomic, and one round trip per `CHUNK` ids. A claim is a
*lease*: it moves an id's score to the instant at which somebody else may take it over. That score is also the
*fencing token* (Kleppmann, "How to do distributed locking", 2016): who no longer holds it changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from orders import ids
from orders.config import mask
from orders.errors import ScheduleError, ScheduleUnavailable
from orders.keys import Keys

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")

CHUNK = 1000
"""Ids that one call of a script handles: Redis does nothing else meanwhile, for about a millisecond."""

TIMEOUT = 5.0
"""Seconds to wait for Redis, to connect and for an answer, unless the URL says ``?socket_timeout=``."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """An id that this claim leased."""

    order_id: str
    due: float
    """Its deadline as the schedule had it, or the end of the lease that has run out: Unix seconds."""
    attempts: int
    """How many attempts at it were started before, and did not end."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one call of `Schedule.claim` took."""

    now: float
    """Redis's clock, in Unix seconds."""
    lease: float
    """The fencing token of all its ids, as a score."""
    lease_ends: float
    """The instant that the token stands for, in Unix seconds."""
    claimed: Sequence[Claimed]


@dataclass(frozen=True, slots=True)
class Move:
    """Where an id goes in the schedule."""

    order_id: str
    due: float
    attempts: int = 0
    """The attempts that count from now on."""


class Schedule:
    """The sorted set and what stands beside it. Safe to share between threads; processes connect anew."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._keys = keys = Keys(settings.key)
        lease = [keys.schedule, keys.attempts]
        self._enqueue = self._script("enqueue", [*lease, keys.dead])
        self._claim = self._script("claim", [*lease, keys.stats])
        self._start = self._script("start", lease)
        self._settle = self._script("settle", [*lease, keys.stats])
        self._reschedule = self._script("reschedule", lease)
        self._bury = self._script("bury", [*lease, keys.dead, keys.stats])
        self._remove = self._script("remove", [*lease, keys.dead])

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return the schedule at ``ORDERS_REDIS_URL``. Nothing is sent before the first call."""
        # One more try on a connection that was closed; a Redis that hangs is not asked twice.
        retry = Retry(NoBackoff(), 1, supported_errors=(exceptions.ConnectionError,))
        client = Redis.from_url(
            settings.redis_url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=retry,
            protocol=2,
        )
        return cls(client, settings)

    def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at instants (Unix seconds), or move them there; return how many were not scheduled."""
        return sum(
            self._enqueue([part for order_id, due in chunk for part in (self._score(due), ids.encode(order_id))])
            for chunk in _chunks(entries)
        )

    def claim(self, limit: int) -> Claim:
        """Lease at most *limit* ids (and at most `CHUNK`) that fall due before now plus the lookahead."""
        now, token, found, attempts = self._claim(
            [self._offset, self._settings.lookahead, self._settings.lease, min(limit, CHUNK)]
        )
        return Claim(
            now=float(now),
            lease=float(token),
            lease_ends=float(token) + self._offset,
            claimed=[
                Claimed(ids.decode(member), float(score) + self._offset, int(started or 0))
                for member, score, started in zip(
                    found[::2], found[1::2], attempts or [0] * (len(found) // 2), strict=True
                )
            ],
        )

    def start(self, lease: float, order_ids: Iterable[str]) -> dict[str, int]:
        """Count an attempt at each id whose lease still holds; return these with the attempt's number, from 1."""
        started: dict[str, int] = {}
        for chunk in _chunks(order_ids):
            numbers = self._start([repr(lease), *map(ids.encode, chunk)])
            started |= {order_id: number for order_id, number in zip(chunk, numbers, strict=True) if number}
        return started

    def settle(self, lease: float, order_ids: Sequence[str], *, expired: int = 0, closed: int = 0) -> int:
        """Take ids out whose lease still holds, and count what became of their rows; return how many."""
        settled = 0
        for chunk in _chunks(order_ids):
            settled += self._settle([repr(lease), expired, closed, *map(ids.encode, chunk)])
            expired = closed = 0
        return settled

    def reschedule(self, lease: float, moves: Iterable[Move]) -> int:
        """Move ids whose lease still holds to another instant; return how many."""
        return sum(
            self._reschedule(
                [repr(lease)]
                + [part for move in chunk for part in (ids.encode(move.order_id), self._score(move.due), move.attempts)]
            )
            for chunk in _chunks(moves)
        )

    def bury(self, lease: float, letters: Iterable[tuple[str, str]]) -> int:
        """Move ids whose lease still holds to the dead letters, each with its letter (JSON); return how many."""
        return sum(
            self._bury(
                [
                    repr(lease),
                    *(part for order_id, letter in chunk for part in (ids.encode(order_id), letter)),
                ]
            )
            for chunk in _chunks(letters)
        )

    def remove(self, order_ids: Iterable[str]) -> int:
        """Take ids out, whoever holds their lease; return how many were scheduled or buried."""
        return sum(self._remove([ids.encode(order_id) for order_id in chunk]) for chunk in _chunks(order_ids))

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def due(self, *, ahead: float = 0.0) -> int:
        """Return how many ids fall due before now plus *ahead* seconds, leases that have run out included."""
        with _translated(self._settings):
            return self._redis.zcount(self._keys.schedule, "-inf", self._score(self.now() + ahead))

    def now(self) -> float:
        """Return Redis's clock, in Unix seconds."""
        with _translated(self._settings):
            seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def stats(self) -> dict[str, float]:
        """Return the counters: pending, due, dead and what the scripts have counted so far."""
        keys = self._keys
        horizon = self._score(self.now())
        with _translated(self._settings):
            pipeline = self._redis.pipeline(transaction=False)
            pipeline.zcard(keys.schedule)
            pipeline.zcount(keys.schedule, "-inf", horizon)
            pipeline.hlen(keys.dead)
            pipeline.hgetall(keys.stats)
            scheduled, due, dead, counted = pipeline.execute()
        counters = {name.decode(): float(value) for name, value in counted.items()}
        return {"scheduled": scheduled, "due": due, "dead": dead} | counters

    @property
    def _offset(self) -> float:
        return self._settings.score_offset

    def _score(self, instant: float) -> str:
        return f"{instant - self._offset:.6f}"

    def _script(self, name: str, keys: Sequence[str]) -> Any:
        source = (files("orders") / "scripts" / f"{name}.lua").read_text()
        return partial(self._run, self._redis.register_script(source), keys)

    def _run(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        with _translated(self._settings):
            return cast("Any", script(keys=keys, args=args))


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


@contextmanager
def _translated(settings: Settings) -> Iterator[None]:
    """Turn redis-py's errors into ours."""
    try:
        yield
    except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.ReadOnlyError) as error:
        raise ScheduleUnavailable(f"Redis at ORDERS_REDIS_URL {mask(settings.redis_url)}: {error}") from error
    except exceptions.RedisError as error:
        raise ScheduleError(f"Redis refused a command on the key {settings.key!r}: {error}") from error
