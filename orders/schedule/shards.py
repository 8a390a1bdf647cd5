"""Several sorted sets that are one schedule (``ORDERS_SHARDS``): for more than one Redis holds, or one core serves.

An id belongs to the shard that `home` names. Each shard is a `Schedule` of its own, in its own cluster slot, and is
swept on its own. The sorted set named ``ORDERS_KEY`` is then an inbox: a plain ``ZADD`` from another language still
works, and each sweep moves what it finds there to where it belongs. The same happens to shards that are no longer in
use because the number of shards was changed.

Nothing depends on an id being in one sorted set only: one that is in two is due twice, and the second time its row is
final. So a move need not be atomic across servers: it adds first, and takes out then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from redis import Redis

from orders import ids
from orders.config import MAX_SHARDS
from orders.schedule.keys import home
from orders.schedule.records import Entry
from orders.schedule.scripts import split
from orders.schedule.sorted_set import NOTE, Schedule

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")

MOST = f"{NOTE}shards"
"""A note at the sorted set ``ORDERS_KEY``: the most shards that there ever were."""


def connect_schedule(settings: Settings) -> Schedule:
    """Return the schedule at ``ORDERS_REDIS_URL``. Nothing is sent before the first call."""
    return (ShardedSchedule if settings.shards > 1 else Schedule).connect(settings)


class ShardedSchedule(Schedule):
    """Several shards as one schedule. What concerns a lease is done with the `shard` that it holds in."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        super().__init__(redis, settings)
        self._inbox = Schedule(redis, settings)
        self._shards = tuple(Schedule(redis, settings, number) for number in range(settings.shards))

    @property
    def shards(self) -> Sequence[Schedule]:
        """The shards."""
        return self._shards

    def shard(self, number: int | None) -> Schedule:
        """Return a shard, perhaps one that is no longer in use; with None, the inbox."""
        if number is None:
            return self._inbox
        return self._shards[number] if number < len(self._shards) else super().shard(number)

    def enqueue(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids at instants (Unix seconds), or move them there; return how many were not scheduled."""
        return sum(shard.enqueue(part) for shard, part in self._split(entries, itemgetter(0)))

    def adopt(self, entries: Iterable[tuple[str, float]]) -> int:
        """Schedule ids that are neither scheduled nor buried; return how many there were."""
        return sum(shard.adopt(part) for shard, part in self._split(entries, itemgetter(0)))

    def remove(self, order_ids: Iterable[str]) -> int:
        """Take ids out, whoever holds their lease; return how many were scheduled or buried."""
        return sum(shard.remove(part) for shard, part in self._split(order_ids, str))

    def retry(self, order_ids: Iterable[str]) -> list[str]:
        """Schedule dead letters again, due now, with all their attempts; return those ids that were buried."""
        return [order_id for shard, part in self._split(order_ids, str) for order_id in shard.retry(part)]

    def drop(self, order_ids: Iterable[str]) -> int:
        """Forget dead letters; return how many there were."""
        return sum(shard.drop(part) for shard, part in self._split(order_ids, str))

    def uncovered(self, order_ids: Sequence[str]) -> list[str]:
        """Return those ids that are neither scheduled nor buried: what `adopt` would add."""
        return [order_id for shard, part in self._split(order_ids, str) for order_id in shard.uncovered(part)]

    def entry(self, order_id: str) -> Entry:
        """Return what is known about one id: where it belongs or, if nothing is, in the inbox."""
        known = self._home(order_id).entry(order_id)
        return self._inbox.entry(order_id) if known.due is None and known.letter is None else known

    def dead(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the dead letters: id and letter, in no order. One that is buried meanwhile may be missed."""
        return chain.from_iterable(each.dead() for each in self.sets())

    def due(self, *, ahead: float = 0.0) -> int:
        """Return how many ids fall due before now plus *ahead* seconds, leases that have run out included."""
        return sum(each.due(ahead=ahead) for each in self.sets())

    def swept_at(self) -> float | None:
        """Return when that shard was swept that was not for the longest time; None if there is one that never was."""
        swept = [shard.swept_at() for shard in self._shards]
        return None if None in swept else min(at for at in swept if at is not None)

    def sets(self) -> Sequence[Schedule]:
        """Return all sorted sets that may hold something: the shards, the inbox, and shards no longer in use."""
        return [*self._shards, self._inbox, *retired(self, self.noted(MOST) or 1)]

    def _home(self, order_id: str) -> Schedule:
        return self._shards[home(ids.encode(order_id), len(self._shards))]

    def _split(self, items: Iterable[T], id_of: Callable[[T], str]) -> Iterator[tuple[Schedule, list[T]]]:
        parts = split(items, len(self._shards), id_of)
        return ((self._shards[number], part) for number, part in parts.items())


def retired(schedule: Schedule, most: float) -> Sequence[Schedule]:
    """Return the shards that are no longer in use, of the most that there ever were."""
    if most <= 1:
        return []
    in_use = len(schedule.shards)
    return [schedule.shard(number) for number in range(in_use if in_use > 1 else 0, min(int(most), MAX_SHARDS))]
