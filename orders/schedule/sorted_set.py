"""The schedule: a Redis sorted set of order ids by deadline. The only module that talks to it.

Each verb is one Lua script in `scripts/`, so each is atomic, and one round trip per `CHUNK` ids. A claim is a
*lease*: it moves an id's score to the instant at which somebody else may take it over. That score is also the
*fencing token* (Kleppmann, "How to do distributed locking", 2016): who no longer holds it changes nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Self, TypeAlias, cast

from redis import Redis, exceptions

from orders import ids
from orders.schedule.clients import client, masters
from orders.schedule.records import Claim, Claimed, Entry, Listed, Move, Resident, Standing
from orders.schedule.scripts import CHUNK, Scripts, Source, chunks, translated

if TYPE_CHECKING:
    from orders.config import Settings

TRIED_BEFORE = -1
"""What `Schedule.start` says of an id that it has not started, because it is not new."""

NOTE = "_"
"""How the names of notes begin that stand beside the counters, and are none."""

COUNTED = ("scheduled", "due", "started", "dead")
"""What `Schedule.stats` counts of a `Standing`."""

Counts: TypeAlias = Mapping[str, int]
"""Counters (see `orders.schedule.counters`), each with what to add."""

NOTHING: Counts = {}

LEASES = 1000
"""Leases that `Schedule.standing` tells apart from deadlines: the newest, one for each claim that found something."""


class Schedule:
    """The sorted set and what stands beside it. Safe to share between threads; processes connect anew.

    Args:
        redis: where it is.
        settings: the settings.
        number: which shard of a schedule that has several, from 0; None for the sorted set named ``ORDERS_KEY``.
    """

    def __init__(self, redis: Redis, settings: Settings, number: int | None = None) -> None:
        self.number = number
        self._redis = redis
        self._settings = settings
        self._scripts = Scripts(settings, number)
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
        self._now = self._script("now")
        self._entry = self._script("entry")
        self._standing = self._script("standing")
        self._peek = self._script("peek")
        self._arrive = self._script("arrive")
        self._leave = self._script("leave")

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return the schedule at ``ORDERS_REDIS_URL``. Nothing is sent before the first call."""
        return cls(client(settings), settings)

    @property
    def shards(self) -> Sequence[Schedule]:
        """The sorted sets that are swept, each on its own: just this one, unless the schedule is sharded."""
        return (self,)

    def shard(self, number: int | None) -> Schedule:
        """Return the sorted set that a `Lease` holds in."""
        return self if number == self.number else Schedule(self._redis, self._settings, number)

    def sets(self) -> Sequence[Schedule]:
        """Return all sorted sets that may hold something."""
        return self.shards

    def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at instants (Unix seconds), or move them there; return how many were not scheduled."""
        return sum(self._enqueue(self._scripts.enqueued(chunk)) for chunk in chunks(entries))

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
            numbers = self._start([repr(lease), int(only_new), *map(ids.encode, chunk)]) or [1] * len(chunk)
            started.update((order_id, number) for order_id, number in zip(chunk, numbers, strict=True) if number)
        return started

    def settle(self, lease: float, order_ids: Iterable[str], counts: Counts = NOTHING) -> int:
        """Take ids out whose lease still holds, and add to counters in any case; return how many."""
        return self._end(self._settle, lease, zip(map(ids.encode, order_ids), strict=False), counts)

    def reschedule(self, lease: float, moves: Iterable[Move], counts: Counts = NOTHING) -> int:
        """Move ids whose lease still holds to another instant, and add to counters; return how many."""
        return self._end(self._reschedule, lease, map(self._parts, moves), counts)

    def bury(self, lease: float, letters: Iterable[tuple[str, str]], counts: Counts = NOTHING) -> int:
        """Move ids whose lease still holds to the dead letters, each with its letter (JSON); return how many."""
        parts = ((ids.encode(order_id), letter) for order_id, letter in letters)
        return self._end(self._bury, lease, parts, counts)

    def remove(self, order_ids: Iterable[str]) -> int:
        """Take ids out, whoever holds their lease; return how many were scheduled or buried."""
        return sum(self._remove(self._scripts.members(chunk)) for chunk in chunks(order_ids))

    def due(self, *, ahead: float = 0.0) -> int:
        """Return how many ids fall due before now plus *ahead* seconds, leases that have run out included."""
        with translated(self._settings):
            return self._redis.zcount(self._keys.schedule, "-inf", self._score(self.now() + ahead))

    def now(self) -> float:
        """Return Redis's clock, in Unix seconds."""
        return _instant(self._now([]))

    def uncovered(self, order_ids: Sequence[str]) -> list[str]:
        """Return those ids that are neither scheduled nor buried: what `adopt` would add."""
        members: list[Any] = [ids.encode(order_id) for order_id in order_ids]
        if not members:
            return []
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

    def traces(self, order_ids: Sequence[str]) -> list[str]:
        """Return in which contexts these were enqueued (see `orders.tracing`), of those of which it is known."""
        members = list(map(ids.encode, order_ids))
        if not members:
            return []
        with translated(self._settings):
            found = self._redis.hmget(self._keys.traces, members)
        return [cast("bytes", context).decode() for context in found if context]

    def entry(self, order_id: str) -> Entry:
        """Return what is known here about one id."""
        time, score, attempts, failure, letter = self._entry([ids.encode(order_id)])
        return Entry(
            now=_instant(time),
            due=None if score is None else float(score) + self._offset,
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
        """Return how the schedule stands: O(log N) for each lease that runs, at most `LEASES`."""
        now, scheduled, due, started, dead, leased, counted = self._standing([self._offset, LEASES])
        return Standing(
            now=float(now),
            scheduled=scheduled,
            due=due,
            leased=[range(first, first + held) for first, held in zip(leased[::2], leased[1::2], strict=True)],
            dead=dead,
            started=started,
            counters={name.decode(): float(value) for name, value in zip(counted[::2], counted[1::2], strict=True)},
        )

    def ranked(self, ranks: Sequence[range]) -> list[Listed]:
        """Return the ids at these ranks, as `standing` has them: O(log N) for each range, and the ids themselves."""
        keys = self._keys
        with translated(self._settings), self._redis.pipeline(transaction=False) as pipeline:
            for span in ranks:
                pipeline.zrange(keys.schedule, span.start, span.stop - 1, withscores=True)
            found = [entry for entries in pipeline.execute() for entry in entries] if ranks else []
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
        totals: Counter[str] = Counter()
        for found in (each.standing() for each in self.sets()):
            for name, number in [*((name, getattr(found, name)) for name in COUNTED), *found.counters.items()]:
                if name.startswith(NOTE):
                    continue
                is_moment = name.endswith("_at") and name in totals
                totals[name] = min(totals[name], number) if is_moment else totals[name] + number
        return dict(totals)

    def walk(self, cursor: int) -> tuple[int, list[str]]:
        """Return some of the ids, about `CHUNK`, and from where to go on; both begin and end are 0 (``ZSCAN``)."""
        with translated(self._settings):
            cursor, found = self._redis.zscan(self._keys.schedule, cursor, count=CHUNK)
        return cursor, [ids.decode(cast("bytes", member)) for member, _ in found]

    def servers(self, section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield what each server says of itself (``INFO``): its host and port, and a section."""
        with translated(self._settings):
            for server in masters(self._redis):
                told: Mapping[str, Any] = server.info(section)
                options = server.connection_pool.connection_kwargs
                yield str(options.get("path") or f"{options.get('host')}:{options.get('port')}"), told

    def sample(self, number: int) -> list[str]:
        """Return up to so many ids, at random."""
        with translated(self._settings):
            found = self._redis.zrandmember(self._keys.schedule, number)
        return list(map(ids.decode, cast("list[bytes]", found)))

    def is_empty(self) -> bool:
        """Tell whether there are neither ids nor dead letters."""
        with translated(self._settings):
            return not self._redis.exists(self._keys.schedule, self._keys.dead)

    def peek(self, order_ids: Iterable[str]) -> list[Resident]:
        """Return what there is of these ids, as it is; see `arrive`."""
        residents = []
        for chunk in chunks(map(ids.encode, order_ids)):
            parts = ([part or b"" for part in parts] for parts in self._peek(chunk))
            residents += [Resident(*of_one) for of_one in zip(chunk, *parts, strict=True)]
        return residents

    def arrive(self, residents: Sequence[Resident]) -> None:
        """Take in what `peek` has found in another sorted set."""
        for chunk in chunks(residents):
            self._arrive([part for resident in chunk for part in resident])

    def leave(self, residents: Sequence[Resident]) -> int:
        """Take out what has arrived elsewhere, where it is still as it was; return how many there were."""
        return sum(
            self._leave([part for found in chunk for part in (found.member, found.score, found.letter)])
            for chunk in chunks(residents)
        )

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    def _end(self, script: Any, lease: float, parts: Iterable[Sequence[Any]], counts: Counts) -> int:
        ended = 0
        for chunk in chunks(parts):
            ended += script([*self._scripts.head(lease, counts), *chain.from_iterable(chunk)])
            counts = NOTHING
        return ended

    def _parts(self, move: Move) -> tuple[Any, ...]:
        failure = "" if move.failure is None else json.dumps(move.failure)
        return ids.encode(move.order_id), self._score(move.due), move.attempts, failure

    @property
    def _offset(self) -> float:
        return self._scripts.offset

    def _score(self, instant: float) -> str:
        return self._scripts.score(instant)

    def _script(self, name: str) -> Any:
        return partial(self._run, self._scripts.source(name), self._scripts.keys_of(name))

    def _run(self, script: Source, keys: Sequence[str], args: Sequence[Any]) -> Any:
        with translated(self._settings):
            try:
                return self._redis.evalsha(script.sha, len(keys), *keys, *args)
            except exceptions.NoScriptError:
                return self._redis.eval(script.text, len(keys), *keys, *args)  # the server keeps it


def _instant(time: Sequence[Any]) -> float:
    seconds, microseconds = time
    return int(seconds) + int(microseconds) / 1e6
