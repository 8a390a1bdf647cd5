"""The schedule: a Redis sorted set of order ids by deadline. The only module that talks to it.

Each verb is one Lua script in `scripts/`, so each is atomic, and one round trip per `CHUNK` ids. A claim is a
*lease*: it moves an id's score to the instant at which somebody else may take it over. That score is also the
*fencing token* (Kleppmann, "How to do distributed locking", 2016): who no longer holds it changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar, cast

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

TRIED_BEFORE = -1
"""What `Schedule.start` says of an id that it has not started, because it is not new."""

TIMEOUT = 5.0
"""Seconds to wait for Redis, to connect and for an answer, unless the URL says ``?socket_timeout=``."""


class Claimed(NamedTuple):
    """An id that this claim leased."""

    order_id: str
    due: float
    """Its deadline as the schedule had it, or the end of the lease that has run out: Unix seconds."""
    attempts: int
    """How many attempts at it were started before, and did not end well."""


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
    failure: dict[str, Any] | None = None
    """Why it goes there, if an attempt failed: "error", "at", and "retry_at", the same as *due* (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the schedule knows about one id."""

    now: float
    """Redis's clock, in Unix seconds."""
    due: float | None
    """The instant of its score, in Unix seconds; None if it is not scheduled."""
    attempts: int
    """How many attempts were started and did not end well."""
    failure: dict[str, Any] | None
    """The error of the last one."""
    letter: dict[str, Any] | None
    """Its dead letter."""


class Schedule:
    """The sorted set and what stands beside it. Safe to share between threads; processes connect anew."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._keys = keys = Keys(settings.key)
        tried = [keys.schedule, keys.attempts, keys.failures]
        self._enqueue = self._script("enqueue", [*tried, keys.dead])
        self._adopt = self._script("adopt", [keys.schedule, keys.dead, keys.stats])
        self._claim = self._script("claim", [keys.schedule, keys.attempts, keys.stats])
        self._start = self._script("start", [keys.schedule, keys.attempts])
        self._settle = self._script("settle", [*tried, keys.stats])
        self._reschedule = self._script("reschedule", tried)
        self._bury = self._script("bury", [*tried, keys.dead, keys.stats])
        self._remove = self._script("remove", [*tried, keys.dead])

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
        return sum(self._enqueue(self._pairs(chunk)) for chunk in _chunks(entries))

    def adopt(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids that are neither scheduled nor buried; return how many there were."""
        return sum(self._adopt(self._pairs(chunk)) for chunk in _chunks(entries))

    def claim(self, limit: int) -> Claim:
        """Lease at most *limit* ids (and at most `CHUNK`) that fall due before now plus the lookahead."""
        offset = self._offset
        now, token, found, attempts = self._claim(
            [offset, self._settings.lookahead, self._settings.lease, min(limit, CHUNK)]
        )
        return Claim(
            now=float(now),
            lease=float(token),
            lease_ends=float(token) + offset,
            claimed=[
                Claimed(ids.decode(member), float(score) + offset, int(started or 0))
                for member, score, started in zip(
                    found[::2], found[1::2], attempts or [0] * (len(found) // 2), strict=True
                )
            ],
        )

    def start(self, lease: float, order_ids: Iterable[str], *, only_new: bool = False) -> dict[str, int]:
        """Count an attempt at each id whose lease still holds; return these with the attempt's number, from 1.

        Args:
            lease: the fencing token.
            order_ids: the ids.
            only_new: leave out those that were tried before: they are returned with the number `TRIED_BEFORE`.
        """
        started: dict[str, int] = {}
        for chunk in _chunks(order_ids):
            numbers = self._start([repr(lease), int(only_new), *map(ids.encode, chunk)])
            started.update((order_id, number) for order_id, number in zip(chunk, numbers, strict=True) if number)
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
            self._reschedule([repr(lease), *(part for move in chunk for part in self._parts(move))])
            for chunk in _chunks(moves)
        )

    def bury(self, lease: float, letters: Iterable[tuple[str, str]]) -> int:
        """Move ids whose lease still holds to the dead letters, each with its letter (JSON); return how many."""
        return sum(
            self._bury([repr(lease), *(part for order_id, letter in chunk for part in (ids.encode(order_id), letter))])
            for chunk in _chunks(letters)
        )

    def remove(self, order_ids: Iterable[str]) -> int:
        """Take ids out, whoever holds their lease; return how many were scheduled or buried."""
        return sum(self._remove([ids.encode(order_id) for order_id in chunk]) for chunk in _chunks(order_ids))

    def due(self, *, ahead: float = 0.0) -> int:
        """Return how many ids fall due before now plus *ahead* seconds, leases that have run out included."""
        with _translated(self._settings):
            return self._redis.zcount(self._keys.schedule, "-inf", self._score(self.now() + ahead))

    def now(self) -> float:
        """Return Redis's clock, in Unix seconds."""
        with _translated(self._settings):
            seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def uncovered(self, order_ids: Sequence[str]) -> list[str]:
        """Return those ids that are neither scheduled nor buried: what `adopt` would add."""
        members: list[Any] = [ids.encode(order_id) for order_id in order_ids]
        with _translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zmscore(self._keys.schedule, members)
            pipeline.hmget(self._keys.dead, members)
            scores, letters = pipeline.execute()
        return [
            order_id
            for order_id, score, letter in zip(order_ids, scores, letters, strict=True)
            if score is None and letter is None
        ]

    def failures(self, order_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Return why the last attempts at these failed, as `Move.failure` has it; only those that have failed."""
        members = list(map(ids.encode, order_ids))
        if not members:
            return {}
        with _translated(self._settings):
            found = self._redis.hmget(self._keys.failures, members)
        return {order_id: json.loads(failure) for order_id, failure in zip(order_ids, found, strict=True) if failure}

    def entry(self, order_id: str) -> Entry:
        """Return what is known here about one id."""
        member, keys = ids.encode(order_id), self._keys
        with _translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zscore(keys.schedule, member)
            pipeline.hget(keys.attempts, member)
            pipeline.hget(keys.failures, member)
            pipeline.hget(keys.dead, member)
            (seconds, microseconds), score, attempts, failure, letter = pipeline.execute()
        return Entry(
            now=seconds + microseconds / 1e6,
            due=None if score is None else score + self._offset,
            attempts=int(attempts or 0),
            failure=failure and json.loads(failure),
            letter=letter and json.loads(letter),
        )

    def dead(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the dead letters: id and letter, in no order. One that is buried meanwhile may be missed."""
        with _translated(self._settings):
            for member, letter in self._redis.hscan_iter(self._keys.dead, count=CHUNK):
                yield ids.decode(member), json.loads(letter)

    def drop(self, order_ids: Iterable[str]) -> int:
        """Forget dead letters; return how many there were."""
        with _translated(self._settings):
            return sum(self._redis.hdel(self._keys.dead, *map(ids.encode, chunk)) for chunk in _chunks(order_ids))

    def swept_at(self) -> float | None:
        """Return when the last sweep claimed, in Unix seconds by Redis's clock; None if none ever did."""
        return self.noted("swept_at")

    def noted(self, name: str) -> float | None:
        """Return a number that was noted beside the counters; None if there is none."""
        with _translated(self._settings):
            value = self._redis.hget(self._keys.stats, name)
        return None if value is None else float(value)

    def note(self, name: str, value: float | None) -> None:
        """Note a number beside the counters, or forget it."""
        with _translated(self._settings):
            if value is None:
                self._redis.hdel(self._keys.stats, name)
            else:
                self._redis.hset(self._keys.stats, name, repr(value))

    def count(self, counter: str) -> None:
        """Add one to a counter."""
        with _translated(self._settings):
            self._redis.hincrby(self._keys.stats, counter, 1)

    @contextmanager
    def delivering(self, seconds: float) -> Iterator[bool]:
        """Yield whether nobody else delivers events; keep others from it, for at most so many seconds.

        Nothing depends on it but the load: two who deliver at once share the work.
        """
        with _translated(self._settings):
            alone = self._redis.set(self._keys.delivering, 1, nx=True, px=round(seconds * 1000))
        try:
            yield bool(alone)
        finally:
            if alone:
                with _translated(self._settings):
                    self._redis.delete(self._keys.delivering)

    def stats(self) -> dict[str, float]:
        """Return how many are scheduled, due, started and dead, and what the scripts have counted so far."""
        keys = self._keys
        horizon = self._score(self.now())
        with _translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.zcard(keys.schedule)
            pipeline.zcount(keys.schedule, "-inf", horizon)
            pipeline.hlen(keys.attempts)
            pipeline.hexists(keys.attempts, "")  # what `start.lua` adds is no order
            pipeline.hlen(keys.dead)
            pipeline.hgetall(keys.stats)
            scheduled, due, started, is_padded, dead, counted = pipeline.execute()
        counters = {name.decode(): float(value) for name, value in counted.items()}
        return {"scheduled": scheduled, "due": due, "started": started - is_padded, "dead": dead} | counters

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _pairs(self, entries: Iterable[tuple[str, float]]) -> list[Any]:
        return [part for order_id, due in entries for part in (self._score(due), ids.encode(order_id))]

    def _parts(self, move: Move) -> tuple[Any, ...]:
        failure = "" if move.failure is None else json.dumps(move.failure)
        return ids.encode(move.order_id), self._score(move.due), move.attempts, failure

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
