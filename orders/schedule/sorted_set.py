"""The schedule: a Redis sorted set of order ids by deadline.

Each verb is one Lua script in ``lua/``, so it is atomic and takes one round trip per `CHUNK` ids. A claim is a *lease*:
it sets an id's score to the time at which another claim may take the id over. That score is also the *fencing token*
(Kleppmann, "How to do distributed locking", 2016): a worker whose lease has ended can no longer change anything.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from orders import ids
from orders.schedule.clients import client
from orders.schedule.inspection import NOTE, Inspection
from orders.schedule.records import Claim, Claimed, Move, Resident
from orders.schedule.scripts import CHUNK, chunks, translated

if TYPE_CHECKING:
    from orders.config import Settings

TRIED_BEFORE = -1
"""What `Schedule.start` returns for an id that it did not start because it was tried before."""

PAUSED = -2
"""What `Schedule.start` returns during a pause, less the attempts before; nothing is started."""

FOREVER = 253_402_300_799.0
"""The end of a pause that does not end by itself, in Unix seconds: the end of the year 9999."""

COUNTED = ("scheduled", "due", "started", "dead")
"""Fields of a `Standing` that `Schedule.stats` adds up."""

Counts: TypeAlias = Mapping[str, int]
"""Counters (see `orders.schedule.counters`) and what to add to each."""

NOTHING: Counts = {}


class Schedule(Inspection):
    """One sorted set and the keys beside it. Threads may share it; a forked process opens its own connections.

    Args:
        redis: the client.
        settings: the settings.
        number: the shard, from 0; None for the sorted set named ``ORDERS_KEY``.
    """

    @classmethod
    def connect(cls, settings: Settings) -> Self:
        """Return the schedule at ``ORDERS_REDIS_URL``. It connects on the first call of a method."""
        return cls(client(settings), settings)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()

    @property
    def shards(self) -> Sequence[Schedule]:
        """The sorted sets to sweep, each on its own: only this one, unless the schedule is sharded."""
        return (self,)

    def shard(self, number: int | None) -> Schedule:
        """Return the sorted set with the ids of a `Lease`."""
        return self if number == self.number else Schedule(self._redis, self._settings, number)

    def sets(self) -> Sequence[Schedule]:
        """Return all sorted sets that may have entries."""
        return self.shards

    def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at Unix times, or move them there; return how many were not scheduled before."""
        return sum(self._run("enqueue", self._scripts.enqueued(chunk)) for chunk in chunks(entries))

    def adopt(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule those ids that are neither scheduled nor buried; return how many."""
        return sum(self._run("adopt", self._scripts.pairs(chunk)) for chunk in chunks(entries))

    def advance(self, entries: Iterable[tuple[str, float]], *, dry_run: bool = False) -> int:
        """Give ids an earlier Unix time, unless they are leased, due or rescheduled after a failure; return how many.

        Args:
            entries: the ids and the times. Those that are scheduled earlier, or less than a second later, stay.
            dry_run: count them, and change nothing.
        """
        first = [self._scripts.offset, int(dry_run)]
        return sum(self._run("advance", [*first, *self._scripts.pairs(chunk)]) for chunk in chunks(entries))

    def claim(self, limit: int) -> Claim:
        """Lease at most *limit* ids (and at most `CHUNK`) that are due within the lookahead."""
        offset, settings = self._scripts.offset, self._settings
        now, token, found, attempts = self._run(
            "claim", [offset, settings.lookahead, settings.lease, min(limit, CHUNK)]
        )
        found, attempts = ids.from_json(found), json.loads(attempts)
        return Claim(
            now=float(now),
            lease=float(token),
            lease_ends=float(token) + offset,
            claimed=[
                Claimed(order_id, float(score) + offset, int(started or 0))
                for order_id, score, started in zip(found[::2], found[1::2], attempts or repeat(0), strict=False)
            ],
        )

    def start(self, lease: float, order_ids: Iterable[str], *, only_new: bool = False) -> dict[str, int]:
        """Count an attempt at each id that is still leased; return these ids with the attempt's number, from 1.

        Args:
            lease: the fencing token.
            order_ids: the ids.
            only_new: do not start ids that were tried before, and return `TRIED_BEFORE` for them.

        During a pause nothing is started, and the numbers are `PAUSED` or less.
        """
        started: dict[str, int] = {}
        for chunk in chunks(order_ids):
            numbers = self._run("start", [repr(lease), int(only_new), ids.to_json(chunk)])
            if numbers:
                started.update((order_id, number) for order_id, number in zip(chunk, numbers, strict=True) if number)
            else:  # the first attempt at each
                started.update(dict.fromkeys(chunk, 1))
        return started

    def settle(self, lease: float, order_ids: Iterable[str], counts: Counts = NOTHING, *, paid: int = 0) -> int:
        """Settle ids that are still leased; return how many. The counters are increased in any case.

        Args:
            lease: the fencing token.
            order_ids: the ids.
            counts: what to add to the counters.
            paid: how many of them this attempt has marked as paid, for the history.
        """
        settled, brake = 0, self._scripts.brake
        for chunk in chunks(order_ids):
            head = self._scripts.head(lease, counts, (*brake, paid))
            settled += self._run("settle", [*head, ids.to_json(chunk)])
            counts, paid = NOTHING, 0
        return settled

    def reschedule(self, lease: float, moves: Iterable[Move], counts: Counts = NOTHING) -> int:
        """Give ids that are still leased another score; return how many. The counters are increased in any case."""
        return self._end("reschedule", lease, map(self._parts, moves), counts)

    def bury(self, lease: float, letters: Iterable[tuple[str, str]], counts: Counts = NOTHING) -> int:
        """Bury ids that are still leased, each with its dead letter (JSON); return how many."""
        parts = ((ids.encode(order_id), letter) for order_id, letter in letters)
        return self._end("bury", lease, parts, counts)

    def pause(self, until: float, since: float) -> None:
        """Claim and start nothing until a Unix time. The begin of the pause tells it from others."""
        self._run("pause", [repr(until), repr(since), 0])

    def resume(self, since: float | None = None, *, release: bool = True) -> bool:
        """End the pause; return whether the brake still holds the schedule.

        Args:
            since: end it only if it began then.
            release: release the brake too, if it was the brake that paused the schedule.
        """
        return bool(self._run("pause", ["", "" if since is None else repr(since), int(release)]))

    def remove(self, order_ids: Iterable[str], *, are_paid: bool = False) -> int:
        """Remove ids, whether leased or not; return how many were scheduled or buried.

        Args:
            order_ids: the ids.
            are_paid: whether a payment was accepted for each of them, for the history.
        """
        remove = (self._run("remove", self._scripts.removed(chunk, are_paid=are_paid)) for chunk in chunks(order_ids))
        return sum(remove)

    def retry(self, order_ids: Iterable[str]) -> list[str]:
        """Requeue dead letters, due now and with no attempts counted; return the ids that were buried."""
        offset = self._scripts.offset
        return [
            order_id
            for chunk in chunks(order_ids)
            for order_id, was_buried in zip(chunk, self._run("retry", [offset, *map(ids.encode, chunk)]), strict=True)
            if was_buried
        ]

    def drop(self, order_ids: Iterable[str]) -> int:
        """Delete dead letters; return how many there were."""
        with translated(self._settings):
            return sum(self._redis.hdel(self._keys.dead, *map(ids.encode, chunk)) for chunk in chunks(order_ids))

    def stats(self) -> dict[str, float]:
        """Return how many ids are scheduled, due, started and dead, and the counters of the scripts."""
        totals: Counter[str] = Counter()
        for standing in (each.standing() for each in self.sets()):
            fields = [(name, getattr(standing, name)) for name in COUNTED]
            for name, number in [*fields, *standing.counters.items()]:
                if name.startswith(NOTE):
                    continue
                is_time = name.endswith("_at") and name in totals
                totals[name] = min(totals[name], number) if is_time else totals[name] + number
        return dict(totals)

    @contextmanager
    def delivering(self, seconds: float) -> Iterator[bool]:
        """Try to become the only one who delivers events, for at most *seconds*; yield whether that worked.

        This only saves work: two processes that deliver at the same time share the events.
        """
        with translated(self._settings):
            is_alone = self._redis.set(self._keys.delivering, 1, nx=True, px=round(seconds * 1000))
        try:
            yield bool(is_alone)
        finally:
            if is_alone:
                with translated(self._settings):
                    self._redis.delete(self._keys.delivering)

    def peek(self, order_ids: Iterable[str]) -> list[Resident]:
        """Return everything that is stored about these ids, for `arrive`."""
        residents = []
        for chunk in chunks(map(ids.encode, order_ids)):
            parts = ([part or b"" for part in parts] for parts in self._run("peek", chunk))
            residents += [Resident(*fields) for fields in zip(chunk, *parts, strict=True)]
        return residents

    def arrive(self, residents: Sequence[Resident]) -> None:
        """Store what `peek` read from another sorted set."""
        for chunk in chunks(residents):
            self._run("arrive", [part for resident in chunk for part in resident])

    def leave(self, residents: Sequence[Resident]) -> int:
        """Delete what has arrived in another sorted set, unless it has changed; return how many were deleted."""
        return sum(
            self._run("leave", [part for found in chunk for part in (found.member, found.score, found.letter)])
            for chunk in chunks(residents)
        )

    def _end(self, script: str, lease: float, parts: Iterable[Sequence[Any]], counts: Counts) -> int:
        ended = 0
        for chunk in chunks(parts):
            ended += self._run(script, [*self._scripts.head(lease, counts), *chain.from_iterable(chunk)])
            counts = NOTHING
        return ended

    def _parts(self, move: Move) -> tuple[Any, ...]:
        none = "=" if move.keeps_failure else ""
        failure = none if move.failure is None else json.dumps(move.failure)
        return ids.encode(move.order_id), self._score(move.due), move.attempts, failure
