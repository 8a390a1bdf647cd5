"""Several sorted sets as one schedule (``ORDERS_SHARDS``), for more orders than one Redis can hold or one core serve.

`home` computes the shard of an id. Each shard is a `Schedule` with its own cluster slot and its own sweeps. The sorted
set named ``ORDERS_KEY`` becomes an inbox: a plain ``ZADD`` from another language still works, and each sweep moves the
ids from the inbox to their shards. Shards that are no longer in use are emptied in the same way.

An id may be in two sorted sets for a while: it is then due twice, and the second time its row is final. So a move need
not be atomic across servers: it adds the id to the new shard, then deletes it from the old one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from redis import Redis

from orders import ids
from orders.config import MAX_SHARDS
from orders.schedule.inspection import NOTE
from orders.schedule.keys import home
from orders.schedule.records import Entry
from orders.schedule.scripts import split
from orders.schedule.sorted_set import Schedule

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")

MOST = f"{NOTE}shards"
"""Note of the sorted set ``ORDERS_KEY``: the most shards that were ever used."""


def connect_schedule(settings: Settings) -> Schedule:
    """Return the schedule at ``ORDERS_REDIS_URL``. It connects on the first call of a method."""
    return (ShardedSchedule if settings.shards > 1 else Schedule).connect(settings)


class ShardedSchedule(Schedule):
    """Several shards as one schedule. Methods that take a lease are called on its `shard`."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        super().__init__(redis, settings)
        self._inbox = Schedule(redis, settings)
        self._shards = tuple(Schedule(redis, settings, number) for number in range(settings.shards))

    @property
    def shards(self) -> Sequence[Schedule]:
        """The shards."""
        return self._shards

    def shard(self, number: int | None) -> Schedule:
        """Return a shard, even one that is no longer in use; the inbox if *number* is None."""
        if number is None:
            return self._inbox
        return self._shards[number] if number < len(self._shards) else super().shard(number)

    def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at Unix times, or move them there; return how many were not scheduled before."""
        return sum(shard.enqueue(part) for shard, part in self._split(entries, itemgetter(0)))

    def adopt(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule those ids that are neither scheduled nor buried; return how many."""
        return sum(shard.adopt(part) for shard, part in self._split(entries, itemgetter(0)))

    def advance(self, entries: Iterable[tuple[str, float]], *, dry_run: bool = False) -> int:
        """Give ids an earlier Unix time; see `Schedule.advance`."""
        return sum(shard.advance(part, dry_run=dry_run) for shard, part in self._split(entries, itemgetter(0)))

    def remove(self, order_ids: Iterable[str], *, are_paid: bool = False) -> int:
        """Remove ids, whether leased or not; see `Schedule.remove`."""
        return sum(shard.remove(part, are_paid=are_paid) for shard, part in self._split(order_ids, str))

    def retry(self, order_ids: Iterable[str]) -> list[str]:
        """Requeue dead letters, due now and with no attempts counted; return the ids that were buried."""
        return [order_id for shard, part in self._split(order_ids, str) for order_id in shard.retry(part)]

    def drop(self, order_ids: Iterable[str]) -> int:
        """Delete dead letters; return how many there were."""
        return sum(shard.drop(part) for shard, part in self._split(order_ids, str))

    def uncovered(self, order_ids: Sequence[str]) -> list[str]:
        """Return the ids that are neither scheduled nor buried: not in their shards, nor in the inbox."""
        left = [order_id for shard, part in self._split(order_ids, str) for order_id in shard.uncovered(part)]
        return self._inbox.uncovered(left)

    def entry(self, order_id: str) -> Entry:
        """Return what Redis has about one id: in its shard or, if it is not there, in the inbox."""
        known = self._home(order_id).entry(order_id)
        return self._inbox.entry(order_id) if known.due is None and known.letter is None else known

    def is_lease(self, due: float) -> bool:
        """Return whether a score, given in Unix seconds, is the end of a running lease, wherever the id was claimed."""
        return any(each.is_lease(due) for each in self.sets())

    def dead(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the dead letters as id and letter, unordered. Those buried during the iteration may be missing."""
        return chain.from_iterable(each.dead() for each in self.sets())

    def due(self, *, ahead: float = 0.0) -> int:
        """Count the ids that are due within *ahead* seconds, including those whose leases have ended."""
        return sum(each.due(ahead=ahead) for each in self.sets())

    def swept_at(self) -> float | None:
        """Return when the shard was swept that has waited longest; None if a shard was never swept."""
        swept = [shard.swept_at() for shard in self._shards]
        return None if None in swept else min(time for time in swept if time is not None)

    def sets(self) -> Sequence[Schedule]:
        """Return all sorted sets that may have entries: the shards, the inbox, and shards no longer in use."""
        return [*self._shards, self._inbox, *retired(self, self.noted(MOST) or 1)]

    def _home(self, order_id: str) -> Schedule:
        return self._shards[home(ids.encode(order_id), len(self._shards))]

    def _split(self, items: Iterable[T], id_of: Callable[[T], str]) -> Iterator[tuple[Schedule, list[T]]]:
        parts = split(items, len(self._shards), id_of)
        return ((self._shards[number], part) for number, part in parts.items())


def retired(schedule: Schedule, most: float) -> Sequence[Schedule]:
    """Return the shards that are no longer in use. *most* is the highest number of shards ever used."""
    if most <= 1:
        return []
    in_use = len(schedule.shards)
    return [schedule.shard(number) for number in range(in_use if in_use > 1 else 0, min(int(most), MAX_SHARDS))]
