"""An operator's operations: count and list orders by state, explain one, requeue, remove, extend, hold and expire.

The command line and the operators' pages use them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from heapq import nsmallest
from itertools import islice
from typing import Any

from orders import ids
from orders.clock import to_datetime
from orders.errors import InvalidOrderId
from orders.expiry import Explanation, OrderExpiry, current_pause, explain_order, pause_schedule, resume_schedule
from orders.operate import lists
from orders.operate.history import Bucket, read_history
from orders.operate.lists import REACH, Item, Overview, Page, Reason, Where
from orders.schedule import Schedule
from orders.store import Found, Pause, State

ROWS = 1000
"""Rows that are read at once."""


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

    def page(
        self,
        where: Where,
        *,
        number: int = 1,
        size: int = 50,
        overview: Overview | None = None,
        within: timedelta | None = None,
        reason: str | None = None,
    ) -> Page:
        """Return a page of the orders in a state, the earliest first.

        Args:
            where: the state.
            number: from 1; the last page if it is too high.
            size: orders per page.
            overview: a recent result of `overview`, to save a round trip.
            within: only pending orders that are due in that time.
            reason: only dead letters with this reason, as `reasons` returns it.

        Raises:
            ScheduleError: Redis failed.
        """
        overview = overview or self.overview()
        if where is Where.DEAD:
            letters = list(self._buried(reason))
            total = overview.counts[where] if reason is None else len(letters)
            first, number, pages = _cut(len(letters), number, size)
            oldest = nsmallest(first + size, letters, key=lambda found: (found[1]["buried_at"], found[0]))
            return Page([lists.letter(*found) for found in oldest[first:]], number, pages, total, len(letters))
        listed = list(zip(self._schedule.sets(), overview.ranks(where), strict=False))
        if within is not None and where is Where.PENDING:
            ahead = within.total_seconds()
            listed = [(each, lists.before(ranks, each.due(ahead=ahead))) for each, ranks in listed]
        total = sum(len(span) for _, ranks in listed for span in ranks)
        reachable = total if len(listed) == 1 else min(total, REACH)
        first, number, pages = _cut(reachable, number, size)
        items = [lists.item(found) for found in lists.listed(listed, first, size)]
        return Page(items, number, pages, total, reachable)

    def reasons(self) -> list[Reason]:
        """Return why orders were buried, the most frequent reason first.

        Raises:
            ScheduleError: Redis failed.
        """
        buried: defaultdict[str, list[float]] = defaultdict(list)
        for _, letter in self._buried(None):
            buried[lists.group(letter["reason"])].append(letter["buried_at"])
        found = [Reason(text, len(times), to_datetime(max(times))) for text, times in buried.items()]
        return sorted(found, key=lambda reason: (-reason.number, reason.text))

    def buried(self, reason: str | None = None) -> list[str]:
        """Return the ids of all dead letters, or of those with a reason, as `reasons` returns it.

        Raises:
            ScheduleError: Redis failed.
        """
        return [order_id for order_id, letter in self._schedule.dead() if _has(letter, reason)]

    def count_kept(self) -> int:
        """Return how many orders are pending and due, but kept by the shop's condition.

        Raises:
            StoreError: the database failed.
        """
        return self._expiry.store.count_kept()

    def kept(self, *, number: int = 1, size: int = 50) -> Page:
        """Return a page of the orders that are pending and due, but kept by the shop's condition, the earliest first.

        Args:
            number: from 1; the last page if it is too high.
            size: orders per page.

        Raises:
            StoreError: the database failed.
            ScheduleError: Redis failed.
        """
        total = self.count_kept()
        reachable = min(total, REACH)
        first, number, pages = _cut(reachable, number, size)
        rows = list(islice(self._kept(), first, min(first + size, REACH)))
        failures = self._schedule.failures([row.order_id for row in rows])
        items = [Item(row.order_id, row.deadline, 0, failures.get(row.order_id, {}).get("error")) for row in rows]
        return Page(items, number, pages, total, reachable)

    def history(self, *, minutes: int, step: int = 1) -> Sequence[Bucket]:
        """Return what was counted in the last minutes; see `orders.operate.history.read_history`."""
        return read_history(self._schedule, minutes=minutes, step=step)

    def explain(self, order_id: str) -> Explanation:
        """Return everything that is known about an order. The id may be any member of the schedule.

        Raises:
            ScheduleError: Redis failed.
            StoreError: the database failed.
        """
        expiry = self._expiry
        return explain_order(order_id, expiry.schedule, expiry.store, expiry.settings, expiry.hooks)

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

    def hold(self, order_id: str, by: timedelta) -> bool:
        """Keep a pending order from expiring for some time from now; see `orders.hold`.

        Returns:
            Whether the order was pending. If not, nothing has changed.

        Raises:
            InvalidOrderId: the id is invalid.
            InvalidDeadline: the new deadline is after the year 9999.
            StoreError: the database failed. Nothing has changed.
            ScheduleError: Redis failed after the row was changed. At the old deadline, a worker reschedules the order.
        """
        return self._expiry.hold(order_id, by)

    def expire_now(self, order_ids: Iterable[str]) -> list[str]:
        """Make now the deadline of pending orders, in row and schedule, so that the next sweep expires them.

        The shop's guard and condition are asked as at any deadline, and a payment that comes first wins.

        Returns:
            The ids of the orders that were pending.

        Raises:
            StoreError: the database failed. Orders before it in the list have changed; calling again is safe.
            ScheduleError: Redis failed after a row was changed. Reconcile schedules that order; calling again is safe.
        """
        changed = []
        for order_id in order_ids:
            with suppress(InvalidOrderId):  # it has no row
                if self._expiry.extend(order_id, timeout=0):
                    changed.append(order_id)
        return changed

    def pause(self, seconds: float | None, *, reason: str | None, by: str) -> Pause:
        """Let nothing expire for some time; see `orders.pause`."""
        return pause_schedule(self._expiry, seconds, reason=reason, by=by)

    def resume(self, *, extend: bool) -> Pause | None:
        """End the pause; see `orders.resume`."""
        return resume_schedule(self._expiry, extend=extend)

    def paused(self) -> Pause | None:
        """Return the pause; None if the schedule is not paused.

        Raises:
            StoreError: the database failed.
            ScheduleError: Redis failed.
        """
        return current_pause(self._expiry)

    @property
    def _schedule(self) -> Schedule:
        return self._expiry.schedule

    def _buried(self, reason: str | None) -> Iterator[tuple[str, dict[str, Any]]]:
        letters = islice(self._schedule.dead(), REACH)
        return (found for found in letters if _has(found[1], reason))

    def _kept(self) -> Iterator[Found]:
        """Yield the rows that the shop's condition keeps, by deadline."""
        after: Found | None = None
        while rows := self._expiry.store.due_rows(after=after, limit=ROWS):
            yield from (row for row in rows if row.state is State.KEPT)
            after = rows[-1]


def _has(letter: Mapping[str, Any], reason: str | None) -> bool:
    return reason is None or lists.group(letter["reason"]) == reason


def _cut(reachable: int, number: int, size: int) -> tuple[int, int, int]:
    """Return the index of the first order of a page, the number of the page, and how many pages there are."""
    pages = max(1, -(-reachable // size))
    number = min(max(number, 1), pages)
    return (number - 1) * size, number, pages
