"""An operator's operations: count and list orders by state, explain one, requeue, remove and extend.

The command line and the admin pages use them. A list is read by rank, so the last page costs as much as the first:
O(log N + page size).
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
"""The most entries that pages show of dead letters and of several shards. These are not stored in order, so a page has
to read all entries before it. Entries beyond this are counted, and a page says so."""


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
    """How many of them the pages show: at most `REACH` dead letters, and at most `REACH` orders with shards."""


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

    def ranks(self, where: Where) -> Sequence[Sequence[range]]:
        """Return the ranks of the orders in a state, per sorted set, in order. Dead letters have no ranks."""
        return [_ranks(found, where) for found in self._standings]


class Operations:
    """An operator's operations on the Redis and the database of an application.

    Args:
        expiry: the use cases, as `orders.current` returns them.
    """

    def __init__(self, expiry: OrderExpiry) -> None:
        self._expiry = expiry

    def now(self) -> datetime:
        """Return Redis's clock, in UTC. It decides which orders are due.

        Raises:
            ScheduleError: Redis failed.
        """
        return datetime.fromtimestamp(self._schedule.now(), UTC)

    def overview(self) -> Overview:
        """Return the number of orders in each state.

        Raises:
            ScheduleError: Redis failed.
        """
        return Overview([each.standing() for each in self._schedule.sets()], len(self._schedule.shards))

    def page(self, where: Where, *, number: int = 1, size: int = 50, overview: Overview | None = None) -> Page:
        """Return a page of the orders in a state, the earliest first.

        Args:
            where: the state.
            number: from 1; the last page if it is too high.
            size: orders per page.
            overview: a recent result of `overview`, to save a round trip.

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
        """Return everything that is known about an order. The id may be any member of the schedule.

        Raises:
            ScheduleError: Redis failed.
            StoreError: the database failed.
        """
        expiry = self._expiry
        return explain_order(order_id, expiry.schedule, expiry.store, expiry.settings)

    def retry(self, order_ids: Iterable[str]) -> list[str]:
        """Requeue dead letters, due now and with no attempts counted; return the ids that were buried.

        Raises:
            ScheduleError: Redis failed. Some may be requeued; calling again is safe.
        """
        return self._schedule.retry(order_ids)

    def retry_all(self) -> int:
        """Requeue all dead letters; return how many there were. Those that are buried during the call may stay.

        Raises:
            ScheduleError: Redis failed. Some may be requeued; calling again is safe.
        """
        return len(self._schedule.retry([order_id for order_id, _ in self._schedule.dead()]))

    def remove(self, order_ids: Iterable[str]) -> int:
        """Remove orders from the schedule and the dead letters; return how many there were. Their rows do not change.

        Raises:
            ScheduleError: Redis failed. Some may be removed; calling again is safe.
        """
        return self._schedule.remove(order_ids)

    def extend(self, order_id: str, by: timedelta) -> datetime | None:
        """Give a pending order more time: from its deadline or, if that has passed, from now.

        Returns:
            The new deadline, in UTC; None if the order is not pending and nothing has changed.

        Raises:
            InvalidOrderId: the id is invalid.
            InvalidDeadline: the new deadline is after the year 9999.
            StoreError: the database failed. Nothing has changed.
            ScheduleError: Redis failed after the row was changed. At the old deadline, a worker reschedules the order.
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


def to_datetime(unix_time: float) -> datetime | None:
    """Convert a Unix time to a datetime in UTC; None if it is not a valid date, because a score may be any number."""
    return datetime.fromtimestamp(unix_time, UTC) if 0 <= unix_time < 253_402_300_800 else None


def _ranks(standing: Standing, where: Where) -> Sequence[range]:
    if where is Where.DUE:
        return [range(standing.due)]
    if where is Where.LEASED:
        return standing.leased
    return list(_without(range(standing.due, standing.scheduled), standing.leased))


def _listed(listed: Sequence[tuple[Schedule, Sequence[range]]], first: int, size: int) -> list[Listed]:
    """Return a page of the ids at some ranks of one sorted set, or of several, merged."""
    if len(listed) == 1:
        [(one, ranks)] = listed
        return one.ranked(list(_cut(ranks, first, size)))
    heads = (each.ranked(list(_cut(ranks, 0, first + size))) for each, ranks in listed)
    return list(islice(merge(*heads, key=lambda found: found.due), first, first + size))


def _item(listed: Listed) -> Item:
    reason = listed.failure["error"] if listed.failure else None
    return Item(listed.order_id, to_datetime(listed.due), listed.attempts, reason)


def _letter(order_id: str, letter: dict[str, Any]) -> Item:
    return Item(order_id, to_datetime(letter["buried_at"]), letter["attempts"], str(letter["reason"]))


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
