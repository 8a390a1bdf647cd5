"""Reconciling: what the schedule lacks, the database knows.

An order whose process died between the commit and `enqueue`, or that a Redis forgot, has a row and no entry in the
schedule. This walks the pending rows by keyset pages (deadline, id) on an index, and adds those that are lacking.
Memory is bounded by the page; the database reads each row once, and no more at a time than a page has.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orders.logs import about
from orders.schedule import Schedule
from orders.store import OrderStore, Pending

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

PAGE = 1000
"""Rows that are read, and ids that are compared, at a time."""

RESUME = "reconciled_to_at"
"""Where a run notes the deadline at which its time ran out."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What was found."""

    seen: int
    """Pending rows that were looked at."""
    added: int
    """Those that the schedule lacked; it has them now, unless it was a dry run."""
    complete: bool
    """Whether all rows were seen; if not, time ran out, and the next run goes on from there."""


def reconcile(
    schedule: Schedule,
    store: OrderStore,
    settings: Settings,
    *,
    everything: bool,
    dry_run: bool,
    progress: Callable[[Reconciled], None],
    is_over: Callable[[], bool],
) -> Reconciled:
    """Schedule the pending rows that are neither scheduled nor buried.

    Args:
        schedule: where they belong.
        store: where they are.
        settings: the settings.
        everything: also those that are not overdue: what to do after Redis has lost its data. Otherwise only rows
            whose deadline passed a sweep interval ago; those that are younger are being expired right now.
        dry_run: only count them.
        progress: told after each page what was found so far.
        is_over: tells, after each page, whether to stop; the next run goes on where this one stopped.

    Raises:
        StoreError: the database failed. What was added stays.
        ScheduleError: Redis failed. Likewise.
    """
    seen = added = 0
    goes_on = not everything and not dry_run
    last = _recall(schedule) if goes_on else None
    while True:
        page = store.pending(overdue=None if everything else settings.sweep_interval, after=last, limit=PAGE)
        added += _add(schedule, page, settings.grace, dry_run=dry_run)
        seen += len(page)
        found = Reconciled(seen, added, complete=len(page) < PAGE)
        progress(found)
        if found.complete or is_over():
            break
        last = page[-1]
    if goes_on:
        schedule.note(RESUME, None if found.complete else page[-1].deadline.timestamp())
    if added:
        told = about("reconciled", added=added, seen=seen, dry_run=dry_run)
        logger.warning("reconcile found %d orders that the schedule lacked, among %d pending", added, seen, extra=told)
    return found


def _add(schedule: Schedule, page: Sequence[Pending], grace: float, *, dry_run: bool) -> int:
    if not page:
        return 0
    if dry_run:
        return len(schedule.uncovered([row.order_id for row in page]))
    return schedule.adopt((row.order_id, row.deadline.timestamp() + grace) for row in page)


def _recall(schedule: Schedule) -> Pending | None:
    resume = schedule.noted(RESUME)
    return None if resume is None else Pending("", datetime.fromtimestamp(resume, UTC), None)
