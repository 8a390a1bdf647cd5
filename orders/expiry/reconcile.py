"""Reconcile: schedule the pending rows that are missing from the schedule.

A row is missing if the process died between the commit and `enqueue`, or if Redis lost data. This reads the pending
rows page by page (keyset pagination by deadline and id, on an index) and adds the missing ones. Memory is bounded by
the page, and each row is read once.
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
"""Rows that are read and compared with the schedule at a time."""

RESUME = "reconciled_to_at"
"""The note in Redis with the deadline at which the last run stopped, if its time ran out."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a run found."""

    seen: int
    """Pending rows that were read."""
    added: int
    """Rows that were missing from the schedule. They are scheduled now, except in a dry run."""
    complete: bool
    """Whether all rows were read; if not, time ran out and the next run continues there."""


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
        schedule: the schedule.
        store: the store with the rows.
        settings: the settings.
        everything: include rows that are not overdue, after Redis has lost its data. By default only rows that have
            been due for a sweep interval: more recent ones are being expired right now.
        dry_run: count the missing rows, but do not schedule them.
        progress: called after each page with the totals so far.
        is_over: returns whether to stop; called after each page. The next run continues where this one stopped.

    Raises:
        StoreError: the database failed. Rows that were added stay scheduled.
        ScheduleError: Redis failed. Rows that were added stay scheduled.
    """
    seen = added = 0
    resumes = not everything and not dry_run
    last = _recall(schedule) if resumes else None
    while True:
        page = store.pending(overdue=None if everything else settings.sweep_interval, after=last, limit=PAGE)
        added += _add(schedule, page, settings.grace, dry_run=dry_run)
        seen += len(page)
        found = Reconciled(seen, added, complete=len(page) < PAGE)
        progress(found)
        if found.complete or is_over():
            break
        last = page[-1]
    if resumes:
        schedule.note(RESUME, None if found.complete else page[-1].deadline.timestamp())
    if added:
        fields = about("reconciled", added=added, seen=seen, dry_run=dry_run)
        logger.warning("reconcile found %d of %d pending orders missing from the schedule", added, seen, extra=fields)
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
