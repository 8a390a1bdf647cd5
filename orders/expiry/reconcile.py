"""Reconcile: schedule the pending rows that are missing from the schedule, or scheduled later than their deadline.

A row is missing if the process died between the commit and `enqueue`, or if Redis lost data. It is scheduled later if
somebody moved the deadline forward in the row alone. This reads the pending rows page by page (keyset pagination by
deadline and id, on an index). Memory is bounded by the page, and each row is read once.

With ``ORDERS_REMIND``, each run also reads the rows for whose reminders the time has come since the run before: a range
of deadlines for each reminder. A note in Redis says where it begins. If Redis has lost its data, it has lost the note
too, and the run reads all rows for whose reminder, but not for whose deadline, the time has come.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orders.logs import about
from orders.schedule import NOTE, Schedule
from orders.store import OrderStore, Pending

if TYPE_CHECKING:
    from orders.config import Reminders, Settings

logger = logging.getLogger(__name__)

PAGE = 1000
"""Rows that are read and compared with the schedule at a time."""

RESUME = "reconciled_to_at"
"""The note in Redis with the deadline at which the last run stopped, if its time ran out."""

REMINDED_TO = f"{NOTE}reminded_to:"
"""Prefix of the notes with the deadline up to which rows were read for a reminder, which the name continues with."""


@dataclass(frozen=True, slots=True)
class Reconciled:
    """What a run found."""

    seen: int
    """Pending rows that were read."""
    added: int
    """Rows that were missing from the schedule. They are scheduled now, except in a dry run."""
    complete: bool
    """Whether all rows were read; if not, time ran out and the next run continues there."""
    advanced: int = 0
    """Rows that were scheduled later than their deadline. They have that deadline now, except in a dry run."""


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
    """Schedule the pending rows that are neither scheduled nor buried; reschedule those with an earlier deadline.

    Args:
        schedule: the schedule.
        store: the store with the rows.
        settings: the settings.
        everything: include rows that are not overdue, after Redis has lost its data. By default only rows that have
            been due for a sweep interval: more recent ones are being expired right now.
        dry_run: count the rows, but schedule none.
        progress: called after each page with the totals so far.
        is_over: returns whether to stop; called after each page. The next run continues where this one stopped.

    Raises:
        StoreError: the database failed. Rows that were added stay scheduled.
        ScheduleError: Redis failed. Rows that were added stay scheduled.
    """
    now = store.now().timestamp() if settings.remind else 0.0
    ranges = [_Range(None)] if everything else _ranges(schedule, settings, now, resumes=not dry_run)
    found = Reconciled(0, 0, complete=False)
    for number, each in enumerate(ranges, 1):
        last = each.after
        while True:
            page = store.pending(overdue=each.overdue, after=last, limit=PAGE)
            added, advanced = _schedule(schedule, settings.reminders, page, each, now, dry_run=dry_run)
            is_read = len(page) < PAGE
            found = Reconciled(
                found.seen + len(page),
                found.added + added,
                is_read and number == len(ranges),
                found.advanced + advanced,
            )
            progress(found)
            if is_read or is_over():
                break
            last = page[-1]
        if each.note and not dry_run:
            schedule.note(each.note, each.end if is_read else page[-1].deadline.timestamp())
        if not is_read or is_over():
            break
    _log(found, dry_run=dry_run)
    return found


@dataclass(frozen=True, slots=True)
class _Range:
    """Rows to read, by deadline."""

    overdue: float | None
    """For how many seconds they have been due, at least; see `OrderStore.pending`."""
    after: Pending | None = None
    """Where it begins."""
    note: str | None = None
    """The note to set when the run ends."""
    end: float | None = None
    """Its value if all were read; if not, it is the deadline of the last one."""
    is_reminder: bool = False
    """Whether these rows are due for a reminder only."""


def _ranges(schedule: Schedule, settings: Settings, now: float, *, resumes: bool) -> Sequence[_Range]:
    """Return the rows that are overdue, and for each reminder those whose time for it has come since the last run.

    Only those whose time came a sweep interval ago: more recent ones are being handled right now.
    """
    interval = settings.sweep_interval
    ranges = [_Range(interval, _recall(schedule, RESUME) if resumes else None, RESUME)]
    start = now
    for before in settings.remind:
        note = f"{REMINDED_TO}{before}"
        read = _recall(schedule, note) if resumes else None
        first = max(start, read.deadline.timestamp() if read else start)
        end = now + before - interval
        ranges.append(_Range(interval - before - settings.grace, _at(first), note, max(first, end), is_reminder=True))
        start = now + before  # for rows with an earlier deadline, it is too late for any longer reminder
    return ranges


def _schedule(
    schedule: Schedule, reminders: Reminders, page: Sequence[Pending], each: _Range, now: float, *, dry_run: bool
) -> tuple[int, int]:
    """Schedule the rows of a page; return how many were missing, and how many were scheduled too late."""
    dues = [(row.order_id, row.deadline.timestamp() + reminders.grace) for row in page]
    added = _add(schedule, [(id_, reminders.missed_look(due, due - now)) for id_, due in dues], dry_run=dry_run)
    if each.is_reminder:  # those that are scheduled have had this reminder, and wait for what comes next
        return added, 0
    looks = [(order_id, reminders.next_look(due, due - now)) for order_id, due in dues]
    return added, schedule.advance(looks, dry_run=dry_run)


def _log(found: Reconciled, *, dry_run: bool) -> None:
    seen, added, advanced = found.seen, found.added, found.advanced
    if added:
        fields = about("reconciled", added=added, seen=seen, dry_run=dry_run)
        logger.warning("reconcile found %d of %d pending orders missing from the schedule", added, seen, extra=fields)
    if advanced:
        fields = about("advanced", advanced=advanced, seen=seen, dry_run=dry_run)
        message = "reconcile found %d of %d pending orders scheduled later than their deadlines"
        logger.warning(message, advanced, seen, extra=fields)


def _add(schedule: Schedule, entries: Sequence[tuple[str, float]], *, dry_run: bool) -> int:
    if dry_run:
        return len(schedule.uncovered([order_id for order_id, _ in entries]))
    return schedule.adopt(entries)


def _recall(schedule: Schedule, note: str) -> Pending | None:
    deadline = schedule.noted(note)
    return None if deadline is None else _at(deadline)


def _at(deadline: float) -> Pending:
    """Return a row that precedes all rows with this deadline."""
    return Pending("", datetime.fromtimestamp(deadline, UTC), None)
