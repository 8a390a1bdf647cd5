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
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

from redis import Redis, exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry

from orders import ids
from orders.scripting import CHUNK, RETRIED, TIMEOUT, Scripts, chunks, translated

if TYPE_CHECKING:
    from orders.config import Settings

TRIED_BEFORE = -1
"""What `Schedule.start` says of an id that it has not started, because it is not new."""

LEASES = 1000
"""Leases that `Schedule.standing` tells apart from deadlines: the newest, one for each claim that found something."""


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


@dataclass(frozen=True, slots=True)
class Standing:
    """How the schedule stands. Ranks count from 0, lowest score first, and hold until the next change."""

    now: float
    """Redis's clock, in Unix seconds."""
    scheduled: int
    """How many ids there are."""
    due: int
    """How many of them have a score that has passed: the ranks below."""
    leased: Sequence[range]
    """The ranks of those that a claim holds, in order."""
    dead: int
    """How many dead letters there are."""
    swept_at: float | None
    """When the last sweep claimed, in Unix seconds."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One id in a list."""

    order_id: str
    due: float
    """The instant of its score, in Unix seconds."""
    attempts: int
    """How many attempts were started and did not end well."""
    failure: dict[str, Any] | None
    """The error of the last one."""


class Schedule:
    """The sorted set and what stands beside it. Safe to share between threads; processes connect anew."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._settings = settings
        self._scripts = Scripts(settings)
        self._keys = self._scripts.keys
        self._enqueue = self._script("enqueue")
        self._adopt = self._script("adopt")
        self._claim = self._script("claim")
        self._start = self._script("start")
        self._settle = self._script("settle")
        self._reschedule = self._script("reschedule")
        self._bury = self._script("bury")
        self._remove = self._script("remove")
        self._retry = self._script("retry")

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return the schedule at ``ORDERS_REDIS_URL``. Nothing is sent before the first call."""
        client = Redis.from_url(
            settings.redis_url,
            socket_timeout=TIMEOUT,
            socket_connect_timeout=TIMEOUT,
            retry=Retry(NoBackoff(), 1, supported_errors=RETRIED),
            protocol=2,
        )
        return cls(client, settings)

    def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at instants (Unix seconds), or move them there; return how many were not scheduled."""
        return sum(self._enqueue(self._scripts.pairs(chunk)) for chunk in chunks(entries))

    def adopt(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids that are neither scheduled nor buried; return how many there were."""
        return sum(self._adopt(self._scripts.pairs(chunk)) for chunk in chunks(entries))

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
        for chunk in chunks(order_ids):
            numbers = self._start([repr(lease), int(only_new), *map(ids.encode, chunk)])
            started.update((order_id, number) for order_id, number in zip(chunk, numbers, strict=True) if number)
        return started

    def settle(self, lease: float, order_ids: Sequence[str], *, expired: int = 0, closed: int = 0) -> int:
        """Take ids out whose lease still holds, and count what became of their rows; return how many."""
        settled = 0
        for chunk in chunks(order_ids):
            settled += self._settle([repr(lease), expired, closed, *map(ids.encode, chunk)])
            expired = closed = 0
        return settled

    def reschedule(self, lease: float, moves: Iterable[Move]) -> int:
        """Move ids whose lease still holds to another instant; return how many."""
        return sum(
            self._reschedule([repr(lease), *(part for move in chunk for part in self._parts(move))])
            for chunk in chunks(moves)
        )

    def bury(self, lease: float, letters: Iterable[tuple[str, str]]) -> int:
        """Move ids whose lease still holds to the dead letters, each with its letter (JSON); return how many."""
        return sum(
            self._bury([repr(lease), *(part for order_id, letter in chunk for part in (ids.encode(order_id), letter))])
            for chunk in chunks(letters)
        )

    def remove(self, order_ids: Iterable[str]) -> int:
        """Take ids out, whoever holds their lease; return how many were scheduled or buried."""
        return sum(self._remove(self._scripts.members(chunk)) for chunk in chunks(order_ids))

    def due(self, *, ahead: float = 0.0) -> int:
        """Return how many ids fall due before now plus *ahead* seconds, leases that have run out included."""
        with translated(self._settings):
            return self._redis.zcount(self._keys.schedule, "-inf", self._score(self.now() + ahead))

    def now(self) -> float:
        """Return Redis's clock, in Unix seconds."""
        with translated(self._settings):
            seconds, microseconds = self._redis.time()
        return seconds + microseconds / 1e6

    def uncovered(self, order_ids: Sequence[str]) -> list[str]:
        """Return those ids that are neither scheduled nor buried: what `adopt` would add."""
        members: list[Any] = [ids.encode(order_id) for order_id in order_ids]
        with translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
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
        with translated(self._settings):
            found = self._redis.hmget(self._keys.failures, members)
        return {order_id: json.loads(failure) for order_id, failure in zip(order_ids, found, strict=True) if failure}

    def entry(self, order_id: str) -> Entry:
        """Return what is known here about one id."""
        member, keys = ids.encode(order_id), self._keys
        with translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
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
        with translated(self._settings):
            for member, letter in self._redis.hscan_iter(self._keys.dead, count=CHUNK):
                yield ids.decode(member), json.loads(letter)

    def retry(self, order_ids: Iterable[str]) -> list[str]:
        """Schedule dead letters again, due now, with all their attempts; return those ids that were buried."""
        return [
            order_id
            for chunk in chunks(order_ids)
            for order_id, was in zip(chunk, self._retry([self._offset, *map(ids.encode, chunk)]), strict=True)
            if was
        ]

    def standing(self) -> Standing:
        """Return how the schedule stands: two round trips, O(log N) for each lease that runs, at most `LEASES`."""
        keys = self._keys
        with translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
            pipeline.time()
            pipeline.zrange(keys.leases, -LEASES, -1)
            pipeline.hlen(keys.dead)
            pipeline.hget(keys.stats, "swept_at")
            (seconds, microseconds), tokens, dead, swept_at = pipeline.execute()
            now = seconds + microseconds / 1e6
            running = [token for token in tokens if float(token) + self._offset > now]
            pipeline.zcard(keys.schedule)
            pipeline.zcount(keys.schedule, "-inf", self._score(now))
            for token in running:
                pipeline.zcount(keys.schedule, "-inf", b"(" + token)
                pipeline.zcount(keys.schedule, token, token)
            scheduled, due, *counted = pipeline.execute()
        return Standing(
            now=now,
            scheduled=scheduled,
            due=due,
            leased=[
                range(first, first + held) for first, held in zip(counted[::2], counted[1::2], strict=True) if held
            ],
            dead=dead,
            swept_at=swept_at and float(swept_at),
        )

    def ranked(self, ranks: Sequence[range]) -> list[Listed]:
        """Return the ids at these ranks, as `standing` has them: O(log N) for each range, and the ids themselves."""
        keys = self._keys
        with translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
            for span in ranks:
                pipeline.zrange(keys.schedule, span.start, span.stop - 1, withscores=True)
            found = [entry for entries in pipeline.execute() for entry in entries]
            if not found:
                return []
            members = [member for member, _ in found]
            pipeline.hmget(keys.attempts, members)
            pipeline.hmget(keys.failures, members)
            attempts, failures = pipeline.execute()
        return [
            Listed(ids.decode(member), score + self._offset, int(started or 0), failure and json.loads(failure))
            for (member, score), started, failure in zip(found, attempts, failures, strict=True)
        ]

    def drop(self, order_ids: Iterable[str]) -> int:
        """Forget dead letters; return how many there were."""
        with translated(self._settings):
            return sum(self._redis.hdel(self._keys.dead, *map(ids.encode, chunk)) for chunk in chunks(order_ids))

    def swept_at(self) -> float | None:
        """Return when the last sweep claimed, in Unix seconds by Redis's clock; None if none ever did."""
        return self.noted("swept_at")

    def noted(self, name: str) -> float | None:
        """Return a number that was noted beside the counters; None if there is none."""
        with translated(self._settings):
            value = self._redis.hget(self._keys.stats, name)
        return None if value is None else float(value)

    def note(self, name: str, value: float | None) -> None:
        """Note a number beside the counters, or forget it."""
        with translated(self._settings):
            if value is None:
                self._redis.hdel(self._keys.stats, name)
            else:
                self._redis.hset(self._keys.stats, name, repr(value))

    def count(self, counter: str) -> None:
        """Add one to a counter."""
        with translated(self._settings):
            self._redis.hincrby(self._keys.stats, counter, 1)

    @contextmanager
    def delivering(self, seconds: float) -> Iterator[bool]:
        """Yield whether nobody else delivers events; keep others from it, for at most so many seconds.

        Nothing depends on it but the load: two who deliver at once share the work.
        """
        with translated(self._settings):
            alone = self._redis.set(self._keys.delivering, 1, nx=True, px=round(seconds * 1000))
        try:
            yield bool(alone)
        finally:
            if alone:
                with translated(self._settings):
                    self._redis.delete(self._keys.delivering)

    def stats(self) -> dict[str, float]:
        """Return how many are scheduled, due, started and dead, and what the scripts have counted so far."""
        keys = self._keys
        horizon = self._score(self.now())
        with translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
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

    def _parts(self, move: Move) -> tuple[Any, ...]:
        failure = "" if move.failure is None else json.dumps(move.failure)
        return ids.encode(move.order_id), self._score(move.due), move.attempts, failure

    @property
    def _offset(self) -> float:
        return self._scripts.offset

    def _score(self, instant: float) -> str:
        return self._scripts.score(instant)

    def _script(self, name: str) -> Any:
        return partial(self._run, self._redis.register_script(self._scripts.source(name)), self._scripts.keys_of(name))

    def _run(self, script: Any, keys: Sequence[str], args: Sequence[Any]) -> Any:
        with translated(self._settings):
            try:
                return self._redis.evalsha(script.sha, len(keys), *keys, *args)
            except exceptions.NoScriptError:
                return cast("Any", script(keys=keys, args=args))  # which loads it first
