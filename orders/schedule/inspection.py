"""What operators, metrics and the doctor read from one sorted set and the keys beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from redis.exceptions import NoPermissionError

from orders import ids
from orders.schedule.clients import masters
from orders.schedule.history import History, parse_history
from orders.schedule.records import Entry, Listed, Paused, Standing
from orders.schedule.scripts import CHUNK, ScriptRunner, translated

NOTE = "_"
"""Prefix of notes in the hash of counters: values that are set, not counted."""

RAN = f"{NOTE}ran:"
"""Prefix of the notes with the time of the last run of a task that beat sends."""

RESCUED = f"{NOTE}rescued:"
"""Prefix of the notes whether a worker has sent that run, because beat did not: 1 or 0."""

TURN = f"{NOTE}turn:"
"""Prefix of the notes with the time of the last turn of a worker to send a task in place of beat."""

OWNER = f"{NOTE}owner:"
"""Prefix of the note whose name continues with the identity of a database; its value is when it was registered."""

PAUSED_UNTIL = f"{NOTE}paused_until"
"""Note with the end of the pause, in Unix seconds. The scripts that claim and start orders read it."""

PAUSED_SINCE = f"{NOTE}paused_since"
"""Note with the begin of the pause, in Unix seconds by the database's clock. It tells pauses apart."""

BRAKED_AT = f"{NOTE}braked_at"
"""Note with the time at which the brake (``ORDERS_BRAKE``) paused this sorted set, until it is released."""

LEASES = 1000
"""Leases that `Inspection.standing` looks for: the newest ones. Each claim that found something has one."""


class Inspection(ScriptRunner):
    """The queries of `orders.schedule.Schedule`, and the notes beside the counters."""

    def now(self) -> float:
        """Return Redis's clock, in Unix seconds."""
        return _unix_time(self._run("now", []))

    def due(self, *, ahead: float = 0.0) -> int:
        """Count the ids that are due within *ahead* seconds, including those whose leases have ended."""
        with translated(self._settings):
            return self._redis.zcount(self._keys.schedule, "-inf", self._score(self.now() + ahead))

    def uncovered(self, order_ids: Sequence[str]) -> list[str]:
        """Return the ids that are neither scheduled nor buried."""
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
        """Return the failure of each id's last attempt, in the form of `Move.failure`; ids without one are left out."""
        members = list(map(ids.encode, order_ids))
        if not members:
            return {}
        with translated(self._settings):
            found = self._redis.hmget(self._keys.failures, members)
        return {order_id: json.loads(failure) for order_id, failure in zip(order_ids, found, strict=True) if failure}

    def traces(self, order_ids: Sequence[str]) -> list[str]:
        """Return the trace contexts that were recorded when these ids were enqueued (see `orders.tracing`)."""
        members = list(map(ids.encode, order_ids))
        if not members:
            return []
        with translated(self._settings):
            found = self._redis.hmget(self._keys.traces, members)
        return [cast("bytes", context).decode() for context in found if context]

    def entry(self, order_id: str) -> Entry:
        """Return what Redis has about one id."""
        time, score, attempts, failure, letter = self._run("entry", [ids.encode(order_id)])
        return Entry(
            now=_unix_time(time),
            due=None if score is None else float(score) + self._scripts.offset,
            attempts=int(attempts or 0),
            failure=failure and json.loads(failure),
            letter=letter and json.loads(letter),
        )

    def is_lease(self, due: float) -> bool:
        """Return whether a score, given in Unix seconds, is the end of a running lease.

        True also if the user may not read the list of leases, as the web app's user with least rights: the caller asks
        only about scores that are no deadline.
        """
        with translated(self._settings):
            try:
                return self._redis.zscore(self._keys.leases, self._score(due)) is not None
            except NoPermissionError:
                return True

    def dead(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the dead letters as id and letter, unordered. Those buried during the iteration may be missing."""
        with translated(self._settings):
            for member, letter in self._redis.hscan_iter(self._keys.dead, count=CHUNK):
                yield ids.decode(member), json.loads(letter)

    def standing(self) -> Standing:
        """Return counts and the ranks of leased ids, in O(log N) for each running lease, at most `LEASES`."""
        now, scheduled, due, started, dead, leased, counted = self._run("standing", [self._scripts.offset, LEASES])
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
        """Return the ids at ranks that `standing` returned, in O(log N) per range plus the number of ids."""
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
        offset = self._scripts.offset
        return [
            Listed(ids.decode(member), score + offset, int(started or 0), failure and json.loads(failure))
            for (member, score), started, failure in zip(found, attempts, failures, strict=True)
        ]

    def history(self, minutes: int) -> History:
        """Return what was counted in the last minutes, with the current one; see `orders.schedule.history`."""
        time, found = self._run("history", [minutes])
        return parse_history(_unix_time(time), found)

    def swept_at(self) -> float | None:
        """Return when the last sweep claimed, in Unix seconds by Redis's clock; None if none ever did."""
        return self.noted("swept_at")

    def noted(self, name: str) -> float | None:
        """Return a number from the hash of counters; None if it is not there."""
        with translated(self._settings):
            value = self._redis.hget(self._keys.stats, name)
        return None if value is None else float(value)

    def note(self, name: str, value: float | None) -> None:
        """Set a number in the hash of counters; delete it if *value* is None."""
        with translated(self._settings):
            if value is None:
                self._redis.hdel(self._keys.stats, name)
            else:
                self._redis.hset(self._keys.stats, name, repr(value))

    def note_run(self, task: str, *, is_rescue: bool) -> None:
        """Note that a task that beat sends runs now, and whether a worker has sent it in place of beat."""
        notes: dict[Any, Any] = {f"{RAN}{task}": repr(self.now()), f"{RESCUED}{task}": repr(float(is_rescue))}
        with translated(self._settings):
            self._redis.hset(self._keys.stats, mapping=notes)

    def runs(self) -> Mapping[str, float]:
        """Return when each task that beat sends ran last, in Unix seconds by Redis's clock."""
        return self._noted(RAN)

    def rescued(self) -> Sequence[str]:
        """Return the tasks whose last run a worker has sent, because beat did not."""
        return sorted(task for task, is_rescue in self._noted(RESCUED).items() if is_rescue)

    def owners(self) -> Sequence[str]:
        """Return the databases that were registered as owners, the oldest first; see `orders.expiry`."""
        registered = self._noted(OWNER)
        return sorted(registered, key=registered.__getitem__)

    def register(self, owner: str, *, instead_of: Sequence[str] = ()) -> None:
        """Register a database as the owner of this schedule, in place of others."""
        self.note(f"{OWNER}{owner}", self.now())
        for other in instead_of:
            self.note(f"{OWNER}{other}", None)

    def take_turn(self, task: str, seconds: float) -> bool:
        """Return whether it is this process's turn to send a task in place of beat. The turn lasts *seconds*."""
        return bool(self._run("take_turn", [f"{TURN}{task}", seconds]))

    def paused(self) -> Paused:
        """Return what is noted here about a pause."""
        with translated(self._settings):
            found = self._redis.hmget(self._keys.stats, [PAUSED_SINCE, PAUSED_UNTIL, BRAKED_AT])
        return Paused(*(None if value is None else float(value) for value in found))

    def count(self, counter: str) -> None:
        """Add one to a counter."""
        with translated(self._settings):
            self._redis.hincrby(self._keys.stats, counter, 1)

    def walk(self, cursor: int) -> tuple[int, list[tuple[str, float]]]:
        """Return the next cursor and about `CHUNK` ids, each with when it is due, in Unix seconds (``ZSCAN``).

        The first and the last cursor are 0. Ids that are there all the time are returned, some perhaps twice.
        """
        with translated(self._settings):
            cursor, found = self._redis.zscan(self._keys.schedule, cursor, count=CHUNK)
        scores, offset = cast("list[tuple[bytes, float]]", found), self._scripts.offset
        return cursor, [(ids.decode(member), score + offset) for member, score in scores]

    def sample(self, number: int) -> list[str]:
        """Return at most *number* ids, at random."""
        with translated(self._settings):
            found = self._redis.zrandmember(self._keys.schedule, number)
        return list(map(ids.decode, cast("list[bytes]", found)))

    def servers(self, section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the address of each server and one section of its ``INFO``."""
        with translated(self._settings):
            for server in masters(self._redis):
                info: Mapping[str, Any] = server.info(section)
                options = server.connection_pool.connection_kwargs
                yield str(options.get("path") or f"{options.get('host')}:{options.get('port')}"), info

    def is_empty(self) -> bool:
        """Return whether there are neither ids nor dead letters."""
        with translated(self._settings):
            return not self._redis.exists(self._keys.schedule, self._keys.dead)

    def _noted(self, prefix: str) -> dict[str, float]:
        """Return the notes with a prefix, without it."""
        with translated(self._settings):
            found = cast("dict[bytes, bytes]", self._redis.hgetall(self._keys.stats))
        notes = {name.decode(): float(value) for name, value in found.items()}
        return {name.removeprefix(prefix): value for name, value in notes.items() if name.startswith(prefix)}

    def _score(self, due_at: float) -> str:
        return self._scripts.score(due_at)


def _unix_time(time: Sequence[Any]) -> float:
    seconds, microseconds = time
    return int(seconds) + int(microseconds) / 1e6
