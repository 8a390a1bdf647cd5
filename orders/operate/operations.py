"""What an operator does: count and list orders by where they stand, explain one, retry, remove and extend.

The command line and the pages of the frameworks stand on it. A list is read by rank, so that the last page costs
what the first one does, whatever the number of orders: O(log N + page).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cached_property
from heapq import merge, nsmallest
from itertools import islice
from typing import Any

from orders import ids
from orders.expiry import Explanation, OrderExpiry, explain_order
from orders.schedule import Listed, Schedule, Standing

REACH = 5000
"""Entries of a list that has no order of its own, so that a page needs all before it: of dead letters, and of several
shards. What lies beyond is counted, and a page says so."""


class Where(StrEnum):
    """Where an order stands."""

    PENDING = "pending"
    """Its instant is ahead, and nobody works at it."""
    DUE = "due"
    """Its instant has passed, and no sweep has claimed it yet; or its lease has run out."""
    LEASED = "leased"
    """A sweep has claimed it: a worker has it, or is about to."""
    DEAD = "dead"
    """It is buried, and waits for an operator."""


@dataclass(frozen=True, slots=True)
class Item:
    """One order in a list. Its id may hold anything that a member of a sorted set can; see `orders.ids`."""

    order_id: str
    at: datetime | None
    """When it is due, when its lease ends or, of a dead letter, when it was buried; None if no calendar has it."""
    attempts: int
    """Attempts that were started and did not end well."""
    reason: str | None
    """Why the last one failed, or why it was buried."""


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list."""

    items: Sequence[Item]
    number: int
    """From 1."""
    pages: int
    """How many there are, at least 1."""
    total: int
    """How many orders stand there."""
    reachable: int
    """How many of them the pages show: fewer than *total* only of more than `REACH` dead letters, or with shards."""


class Overview:
    """How many orders stand where, at one moment.

    Args:
        standings: how each sorted set stands.
        swept: how many of them are swept: the first ones.
    """

    def __init__(self, standings: Sequence[Standing], swept: int) -> None:
        self.now = datetime.fromtimestamp(standings[0].now, UTC)
        self._standings = standings
        self._swept = standings[:swept]

    @property
    def swept_ago(self) -> float | None:
        """Seconds since the last sweep claimed, from the shard that waits longest; None if one was never swept."""
        ago = [None if found.swept_at is None else max(0.0, found.now - found.swept_at) for found in self._swept]
        return None if None in ago else max(seconds for seconds in ago if seconds is not None)

    @cached_property
    def counts(self) -> dict[Where, int]:
        """How many orders stand where."""
        listed = (Where.PENDING, Where.DUE, Where.LEASED)
        counted = {where: sum(len(span) for ranks in self.ranks(where) for span in ranks) for where in listed}
        return {**counted, Where.DEAD: sum(found.dead for found in self._standings)}

    @property
    def counters(self) -> Mapping[str, float]:
        """What was counted since the beginning; see `orders.schedule.counters`."""
        names = {name for found in self._standings for name in found.counters}
        return {name: sum(found.counters.get(name, 0.0) for found in self._standings) for name in names}

    def ranks(self, where: Where) -> Sequence[Sequence[range]]:
        """Return the ranks, in each sorted set, of those that stand there, in order; not of dead letters."""
        return [_ranks(found, where) for found in self._standings]


class Operations:
    """What an operator does, on the Redis and the database of an application.

    Args:
        expiry: the use cases, as `orders.current` returns them.
    """

    def __init__(self, expiry: OrderExpiry) -> None:
        self._expiry = expiry

    def now(self) -> datetime:
        """Return Redis's clock, by which orders fall due, in UTC.

        Raises:
            ScheduleError: Redis failed.
        """
        return datetime.fromtimestamp(self._schedule.now(), UTC)

    def overview(self) -> Overview:
        """Return how many orders stand where.

        Raises:
            ScheduleError: Redis failed.
        """
        return Overview([each.standing() for each in self._schedule.sets()], len(self._schedule.shards))

    def page(self, where: Where, *, number: int = 1, size: int = 50, overview: Overview | None = None) -> Page:
        """Return a page of the orders that stand somewhere, the earliest first.

        Args:
            where: which list.
            number: from 1; one that is too high gives the last page.
            size: orders on a page.
            overview: what `overview` has just returned, to save asking again.

        Raises:
            ScheduleError: Redis failed.
        """
        overview = overview or self.overview()
        total = overview.counts[where]
        listed = [] if where is Where.DEAD else list(zip(self._schedule.sets(), overview.ranks(where), strict=False))
        reachable = total if len(listed) == 1 else min(total, REACH)
        pages = max(1, -(-reachable // size))
        number = min(max(number, 1), pages)
        first = (number - 1) * size
        if where is Where.DEAD:
            items = self._buried(first, size)
        else:
            items = [_item(found) for found in _listed(listed, first, size)]
        return Page(items, number, pages, total, reachable)

    def explain(self, order_id: str) -> Explanation:
        """Tell what is known about an order, whatever bytes its id holds.

        Raises:
            ScheduleError: Redis failed.
            StoreError: the database failed.
        """
        expiry = self._expiry
        return explain_order(order_id, expiry.schedule, expiry.store, expiry.settings)

    def retry(self, order_ids: Iterable[str]) -> list[str]:
        """Schedule dead letters again, due now, with all their attempts; return those ids that were buried.

        Raises:
            ScheduleError: Redis failed; some may be scheduled, and calling again is safe.
        """
        return self._schedule.retry(order_ids)

    def retry_all(self) -> int:
        """Schedule all dead letters again; return how many there were. Those that are buried meanwhile may stay.

        Raises:
            ScheduleError: Redis failed; some may be scheduled, and calling again is safe.
        """
        return len(self._schedule.retry([order_id for order_id, _ in self._schedule.dead()]))

    def remove(self, order_ids: Iterable[str]) -> int:
        """Take orders out of the schedule and the dead letters; return how many there were. Their rows stay.

        Raises:
            ScheduleError: Redis failed; some may be out, and calling again is safe.
        """
        return self._schedule.remove(order_ids)

    def extend(self, order_id: str, by: timedelta) -> datetime | None:
        """Give a pending order more time: from its deadline or, if that has passed, from now.

        Returns:
            The new deadline, in UTC; None if the order is not pending, and nothing has changed.

        Raises:
            InvalidOrderId: no row can have this id.
            InvalidDeadline: it lies beyond the year 9999.
            StoreError: the database failed; nothing has changed.
            ScheduleError: Redis failed after the row was changed; the schedule finds the deadline by itself.
        """
        expiry = self._expiry
        row = expiry.store.row(ids.parse(order_id))
        if row is None or not row.is_pending:
            return None
        now = expiry.deadline(order_id, timeout=0)
        start = max(row.deadline, now) if row.deadline else now
        deadline = expiry.deadline(order_id, timeout=start - now + by)
        return deadline if expiry.extend(order_id, expires_at=deadline) else None

    @property
    def _schedule(self) -> Schedule:
        return self._expiry.schedule

    def _buried(self, first: int, size: int) -> list[Item]:
        letters = islice(self._schedule.dead(), REACH)
        oldest = nsmallest(first + size, letters, key=lambda found: (found[1]["buried_at"], found[0]))
        return [_letter(order_id, letter) for order_id, letter in oldest[first:]]


def moment(instant: float) -> datetime | None:
    """Return an instant in Unix seconds as a datetime in UTC; None if no calendar has it. A score may be anything."""
    return datetime.fromtimestamp(instant, UTC) if 0 <= instant < 253_402_300_800 else None


def _ranks(standing: Standing, where: Where) -> Sequence[range]:
    if where is Where.DUE:
        return [range(standing.due)]
    if where is Where.LEASED:
        return standing.leased
    return list(_without(range(standing.due, standing.scheduled), standing.leased))


def _listed(listed: Sequence[tuple[Schedule, Sequence[range]]], first: int, size: int) -> list[Listed]:
    """Return a page of what stands at some ranks of one sorted set or, merged, of several."""
    if len(listed) == 1:
        [(one, ranks)] = listed
        return one.ranked(list(_cut(ranks, first, size)))
    heads = (each.ranked(list(_cut(ranks, 0, first + size))) for each, ranks in listed)
    return list(islice(merge(*heads, key=lambda found: found.due), first, first + size))


def _item(listed: Listed) -> Item:
    reason = listed.failure["error"] if listed.failure else None
    return Item(listed.order_id, moment(listed.due), listed.attempts, reason)


def _letter(order_id: str, letter: dict[str, Any]) -> Item:
    return Item(order_id, moment(letter["buried_at"]), letter["attempts"], str(letter["reason"]))


def _without(whole: range, holes: Iterable[range]) -> Iterator[range]:
    """Yield what is left of a range of ranks."""
    start = whole.start
    for hole in holes:
        if hole.start > start:
            yield range(start, min(hole.start, whole.stop))
        start = max(start, hole.stop)
    if start < whole.stop:
        yield range(start, whole.stop)


def _cut(ranks: Iterable[range], first: int, size: int) -> Iterator[range]:
    """Yield the ranges that hold the ranks from the *first*, counted over all ranges."""
    for span in ranks:
        part = span[first : first + size]
        first = max(0, first - len(span))
        size -= len(part)
        if part:
            yield part
