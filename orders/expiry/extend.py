"""Extend many orders at once: every pending order that is due before some time, or that fell due during a pause.

Pages go from the latest deadline to the earliest, so an order that was extended is not met again. A run that stops
after a page leaves exactly the orders that are not later than the last one of that page. A page is one transaction:
rows and events change together, and the schedule follows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from orders.clock import as_utc
from orders.errors import InvalidDeadline
from orders.store import Page, Pending, Window

if TYPE_CHECKING:
    from orders.expiry.use_cases import OrderExpiry

PAGE = 1000
"""Rows that are changed in one transaction."""


@dataclass(frozen=True, slots=True)
class Extended:
    """What a run has done so far."""

    number: int
    """Orders that were extended."""
    due_before: datetime
    """Orders with an earlier deadline are still to be extended, until the run has ended. Others were."""


def extend_orders(
    expiry: OrderExpiry,
    *,
    due_before: datetime,
    until: datetime | None = None,
    by: float | timedelta | None = None,
    progress: Callable[[Extended], None] = lambda _: None,
) -> int:
    """Extend pending orders; see `orders.extend_many`.

    Args:
        expiry: the use cases.
        due_before: as in `orders.extend_many`, like *until* and *by*.
        until: the new deadline.
        by: instead of it, seconds or a timedelta.
        progress: called after each page.
    """
    later = _rule(expiry, until, by)
    before = as_utc(due_before)
    if until is not None:
        before = min(before, as_utc(until))  # no deadline becomes earlier
    return _extend(expiry, later, None, before, "extend_many", lambda so_far, _: progress(so_far))


def extend_paused(expiry: OrderExpiry, window: Window, *, progress: Callable[[int], object]) -> int:
    """Give every pending order that fell due in a part of a pause the length of that part; return how many.

    They are due after that part then, so calling again extends only those that an interrupted run has left out.
    """
    # In whole seconds, upwards: a column of whole seconds must not round a deadline back into the pause.
    more = timedelta(seconds=math.ceil((window.end - window.start).total_seconds()))
    grace = timedelta(seconds=expiry.settings.grace)
    start, end = window.start - grace, window.end - grace
    return _extend(expiry, lambda row: row.deadline + more, start, end, "resume", lambda _, page: progress(page))


def _extend(
    expiry: OrderExpiry,
    later: Callable[[Pending], datetime],
    due_from: datetime | None,
    due_before: datetime,
    by: str,
    progress: Callable[[Extended, int], object],
) -> int:
    """Extend the pending orders with deadlines between two times; return how many.

    After each page, *progress* is called with what was done so far, and with the number of orders in the page.
    """
    number, last = 0, None
    while True:
        page = Page(due_before, due_from, last, PAGE)
        extended = expiry.retry(partial(expiry.store.extend_page, later, page, by=by))
        if extended:
            expiry.schedule.enqueue(expiry.due_at((row.order_id, deadline) for row, deadline in extended))
            number, (last, _) = number + len(extended), extended[-1]
            # Others may have the same deadline.
            progress(Extended(number, last.deadline + timedelta.resolution), len(extended))
        if len(extended) < page.limit:
            return number


def _rule(expiry: OrderExpiry, until: datetime | None, by: float | timedelta | None) -> Callable[[Pending], datetime]:
    """Return the function that returns the new deadline of a row."""
    if (until is None) == (by is None):
        raise InvalidDeadline(f"until is {until!r} and by is {by!r}: give one of them")
    if until is not None:
        deadline = as_utc(until)
        return lambda _: deadline
    now = expiry.held_until(0)
    if not by or expiry.held_until(by) <= now:
        raise InvalidDeadline(f"by is {by!r}: it must be a number of seconds or a timedelta above 0")
    more = by if isinstance(by, timedelta) else timedelta(seconds=by)
    return lambda row: max(row.deadline, now) + more
