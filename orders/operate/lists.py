"""What a list shows: the orders in one state, page by page.

A list is read by rank, so the last page costs as much as the first: O(log N + page size).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from heapq import merge
from itertools import islice
from typing import Any

from orders.clock import to_datetime
from orders.operate.wording import plain
from orders.schedule import PAUSED_UNTIL, Listed, Schedule, Standing

REACH = 5000
"""The most entries that pages show of dead letters and of several shards. These are not stored in order, so a page has
to read all entries before it. Entries beyond this are counted, and a page says so."""


MAX_REASON = 300
"""Characters of a reason by which dead letters are grouped."""

_PARTICULAR = re.compile(r"\b[0-9a-f]{8}(?:-?[0-9a-f]{4}){3}-?[0-9a-f]{12}\b|\d+", re.IGNORECASE)
"""UUIDs and numbers in a reason."""


class Where(StrEnum):
    """The state of an order in the schedule."""

    PENDING = "pending"
    """It is not due yet."""
    DUE = "due"
    """It is due and no sweep has claimed it yet, or its lease has ended."""
    LEASED = "leased"
    """A sweep has claimed it for a worker."""
    DEAD = "dead"
    """It is buried and waits for an operator."""


@dataclass(frozen=True, slots=True)
class Item:
    """One order in a list. Its id may be any member of a sorted set; see `orders.ids`."""

    order_id: str
    at: datetime | None
    """When it is due, its lease ends or it was buried; None if that is not a valid date."""
    attempts: int
    """Attempts that were started and did not succeed."""
    reason: str | None
    """Why the last attempt failed, or why it was buried."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    items: Sequence[Item]
    number: int
    """From 1."""
    pages: int
    """The number of pages, at least 1."""
    total: int
    """How many orders are in the list."""
    reachable: int
    """How many of them the pages show: at most `REACH` dead letters or kept orders, and at most `REACH` orders with
    shards."""


@dataclass(frozen=True, slots=True)
class Reason:
    """Why orders were buried: dead letters whose reasons differ in numbers and ids only."""

    text: str
    """The reason, with … for numbers and ids."""
    number: int
    """How many dead letters have it, among the first `REACH`."""
    latest: datetime | None
    """When the latest of them was buried."""


class Overview:
    """The number of orders in each state, read at one time.

    Args:
        standings: the counts of each sorted set.
        swept: how many of these sorted sets are swept: the first ones.
    """

    def __init__(self, standings: Sequence[Standing], swept: int) -> None:
        self.now = datetime.fromtimestamp(standings[0].now, UTC)
        self._standings = standings
        self._swept = standings[:swept]

    @property
    def swept_ago(self) -> float | None:
        """Seconds since the last sweep, of the shard that has waited longest; None if one was never swept."""
        ago = [None if found.swept_at is None else max(0.0, found.now - found.swept_at) for found in self._swept]
        return None if None in ago else max(seconds for seconds in ago if seconds is not None)

    @cached_property
    def counts(self) -> dict[Where, int]:
        """The number of orders in each state."""
        listed = (Where.PENDING, Where.DUE, Where.LEASED)
        counted = {where: sum(len(span) for ranks in self.ranks(where) for span in ranks) for where in listed}
        return {**counted, Where.DEAD: sum(found.dead for found in self._standings)}

    @property
    def counters(self) -> Mapping[str, float]:
        """The counters; see `orders.schedule.counters`."""
        names = {name for found in self._standings for name in found.counters}
        return {name: sum(found.counters.get(name, 0.0) for found in self._standings) for name in names}

    @property
    def is_paused(self) -> bool:
        """Whether the schedule is paused, or a part of it, as Redis knows it: a sweep corrects that."""
        return any(found.counters.get(PAUSED_UNTIL, 0.0) > found.now for found in self._standings)

    def ranks(self, where: Where) -> Sequence[Sequence[range]]:
        """Return the ranks of the orders in a state, per sorted set, in order. Dead letters have no ranks."""
        return [_ranks(found, where) for found in self._standings]


def _ranks(standing: Standing, where: Where) -> Sequence[range]:
    if where is Where.DUE:
        return [range(standing.due)]
    if where is Where.LEASED:
        return standing.leased
    return list(_without(range(standing.due, standing.scheduled), standing.leased))


def listed(sets: Sequence[tuple[Schedule, Sequence[range]]], first: int, size: int) -> list[Listed]:
    """Return a page of the ids at some ranks of one sorted set, or of several, merged."""
    if len(sets) == 1:
        [(one, ranks)] = sets
        return one.ranked(list(_cut(ranks, first, size)))
    heads = (each.ranked(list(_cut(ranks, 0, first + size))) for each, ranks in sets)
    return list(islice(merge(*heads, key=lambda found: found.due), first, first + size))


def item(found: Listed) -> Item:
    """Return what a list shows of an id in a sorted set."""
    reason = found.failure["error"] if found.failure else None
    return Item(found.order_id, to_datetime(found.due), found.attempts, reason)


def letter(order_id: str, found: dict[str, Any]) -> Item:
    """Return what a list shows of a dead letter."""
    return Item(order_id, to_datetime(found["buried_at"]), found["attempts"], str(found["reason"]))


def group(reason: object) -> str:
    """Return a reason in one line, with … for its numbers and ids, so that the same cause has the same text."""
    return _PARTICULAR.sub("…", plain(" ".join(str(reason).split()))[:MAX_REASON])


def before(ranks: Iterable[range], end: int) -> list[range]:
    """Return the parts of ranges with ranks below *end*."""
    return [span[: max(0, end - span.start)] for span in ranks if span.start < end]


def _without(whole: range, holes: Iterable[range]) -> Iterator[range]:
    """Yield a range of ranks without the holes."""
    start = whole.start
    for hole in holes:
        if hole.start > start:
            yield range(start, min(hole.start, whole.stop))
        start = max(start, hole.stop)
    if start < whole.stop:
        yield range(start, whole.stop)


def _cut(ranks: Iterable[range], first: int, size: int) -> Iterator[range]:
    """Yield the parts of ranges with *size* ranks, starting at the *first*, counted across all ranges."""
    for span in ranks:
        part = span[first : first + size]
        first = max(0, first - len(span))
        size -= len(part)
        if part:
            yield part
