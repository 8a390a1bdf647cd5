"""Moving ids to the shard that they belong to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from orders.schedule.scripts import split
from orders.schedule.shards import MOST, retired
from orders.schedule.sorted_set import NOTE, Schedule

HOMED = f"{NOTE}homed"
"""A note at a shard: for how many shards it holds what belongs in it, and nothing else."""

WALKED = f"{NOTE}walked"
"""A note at a sorted set: where the search for what does not belong in it goes on."""


def rehome_ids(schedule: Schedule, *, is_over: Callable[[], bool] = lambda: False) -> int:
    """Move to where it belongs what is elsewhere: in the inbox or, once the number of shards was changed, anywhere.

    Args:
        schedule: the schedule.
        is_over: tells, after each 1,000 or so, whether to stop; the next call goes on.

    Returns:
        How many ids and dead letters were moved.

    Raises:
        ScheduleError: Redis failed. Nothing is lost, and calling again is safe.
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
    """Move what does not belong in a sorted set."""
    moved = _move(place, shards, [order_id for order_id, _ in place.dead()])
    cursor = int(place.noted(WALKED) or 0)
    while not is_over():
        cursor, order_ids = place.walk(cursor)
        moved += _move(place, shards, order_ids)
        if not cursor:
            place.note(HOMED, len(shards))
            break
    place.note(WALKED, cursor or None)
    if place not in shards:
        place.note("swept_at", None)  # nobody claims from it: it must not look as if somebody had stopped to
    return moved


def _move(place: Schedule, shards: Sequence[Schedule], order_ids: Iterable[str]) -> int:
    moved = 0
    for number, part in split(order_ids, len(shards), str).items():
        if shards[number] is not place and part:
            residents = place.peek(part)
            shards[number].arrive(residents)
            moved += place.leave(residents)
    return moved
