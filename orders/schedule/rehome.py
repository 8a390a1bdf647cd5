"""Move ids to the shards that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from orders.schedule.inspection import NOTE
from orders.schedule.scripts import split
from orders.schedule.shards import MOST, retired
from orders.schedule.sorted_set import Schedule

HOMED = f"{NOTE}homed"
"""Note of a shard: the number of shards for which all its ids are in the right place."""

WALKED = f"{NOTE}walked"
"""Note of a sorted set: the cursor at which the search for misplaced ids continues."""


def rehome_ids(schedule: Schedule, *, is_over: Callable[[], bool] = lambda: False) -> int:
    """Move ids from the inbox and, if the number of shards has changed, from all shards to where they belong.

    Args:
        schedule: the schedule.
        is_over: called after every 1,000 ids or so; returns whether to stop. The next call continues from there.

    Returns:
        How many ids and dead letters were moved.

    Raises:
        ScheduleError: Redis failed. Nothing is lost; call it again.
    """
    shards = schedule.shards
    most = int(schedule.noted(MOST) or 1)
    if len(shards) > most:
        schedule.note(MOST, len(shards))
    mixed = [shard for shard in shards if len(shards) > 1 and shard.noted(HOMED) != len(shards)]
    inbox = [schedule.shard(None)] if len(shards) > 1 else []
    foreign = [each for each in (*inbox, *retired(schedule, most)) if not each.is_empty()]
    return sum(_sort(each, shards, is_over) for each in (*mixed, *foreign))


def _sort(place: Schedule, shards: Sequence[Schedule], is_over: Callable[[], bool]) -> int:
    """Move the misplaced ids of one sorted set."""
    moved = _move(place, shards, [order_id for order_id, _ in place.dead()])
    cursor = int(place.noted(WALKED) or 0)
    while not is_over():
        cursor, found = place.walk(cursor)
        moved += _move(place, shards, [order_id for order_id, _ in found])
        if not cursor:
            place.note(HOMED, len(shards))
            break
    place.note(WALKED, cursor or None)
    if place not in shards:
        place.note("swept_at", None)  # nobody sweeps it, so it must not count as unswept
    return moved


def _move(place: Schedule, shards: Sequence[Schedule], order_ids: Iterable[str]) -> int:
    moved = 0
    for number, part in split(order_ids, len(shards), str).items():
        if shards[number] is not place and part:
            residents = place.peek(part)
            shards[number].arrive(residents)
            moved += place.leave(residents)
    return moved
