"""Pause and resume: while the schedule is paused, nothing expires, on whichever road it comes.

The pause is a row in the database (`orders.store.pauses`), which every update that expires orders asks for. Redis has a
copy in each sorted set, so that nothing is claimed or started meanwhile. Each sweep compares both before it claims. If
Redis has lost its data, it gets the copy again; if the database has lost the row, because an older backup was restored,
it gets the row again. The brake (``ORDERS_BRAKE``) pauses a sorted set in Redis, and the next sweep writes the row.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from orders.clock import as_utc
from orders.errors import InvalidDeadline, OrdersError, ScheduleError
from orders.expiry.extend import PAGE, extend_paused
from orders.logs import about
from orders.schedule import FOREVER, Paused
from orders.store import Pause

if TYPE_CHECKING:
    from orders.expiry.use_cases import OrderExpiry

logger = logging.getLogger(__name__)

BRAKE = "brake"
"""Who wanted a pause that the brake made."""

MAX_TEXT_LENGTH = 255
"""Characters of who wanted a pause, and of why."""


def pause_schedule(
    expiry: OrderExpiry,
    seconds: float | timedelta | None = None,
    *,
    until: datetime | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> Pause:
    """Pause the schedule; see `orders.pause`."""
    if seconds is not None and until is not None:
        raise InvalidDeadline(f"seconds={seconds!r} and until={until!r} exclude each other: give only one")
    ends: datetime | timedelta | None = None if until is None else as_utc(until)
    if seconds is not None:
        expiry.held_until(seconds)
        ends = seconds if isinstance(seconds, timedelta) else timedelta(seconds=seconds)
    return _begin(expiry, ends, by=_text("by", by), reason=_text("reason", reason))


def resume_schedule(
    expiry: OrderExpiry, *, extend: bool = False, progress: Callable[[int], object] = lambda _: None
) -> Pause | None:
    """End the pause; see `orders.resume`.

    Args:
        expiry: the use cases.
        extend: as in `orders.resume`.
        progress: called after each page of orders that were extended, with their number.
    """
    pauses = expiry.store.pauses
    while extend and (window := expiry.retry(pauses.open_window)):
        number = extend_paused(expiry, window, progress=progress)
        expiry.retry(partial(pauses.close_window, window))
        if number < PAGE and not window.is_left:
            break  # what falls due while a page is extended is as good as due after the pause
    before = current_pause(expiry)
    ended = expiry.retry(pauses.end) or before
    for each in expiry.schedule.sets():
        each.resume()
    if ended:
        logger.warning("resumed; it was %s", ended, extra=about("resumed", by=ended.by, reason=ended.reason))
    return ended


def current_pause(expiry: OrderExpiry) -> Pause | None:
    """Return the pause, even one that only Redis knows of; None if the schedule is not paused.

    Raises:
        StoreError: the database failed.
        ScheduleError: Redis failed.
    """
    return expiry.store.pauses.current() or _unwritten(expiry, [each.paused() for each in expiry.schedule.sets()])


def correct_pause(expiry: OrderExpiry) -> None:
    """Make the database and Redis agree about the pause, before a sweep claims.

    If only Redis knows of a pause, it is written: the brake has made it, or the database has lost the row. Redis's copy
    of a pause that is over is removed. A database or a Redis that cannot answer is no reason not to sweep: the updates
    ask the database again.
    """
    try:
        notes = {each: each.paused() for each in expiry.schedule.sets()}
        is_known = any(noted.until is not None for noted in notes.values())
        if not is_known and not expiry.schedule.due(ahead=expiry.settings.lookahead):
            return  # nothing will be claimed, so an idle schedule sends no statement
        with expiry.store.transactions.worker():
            found = expiry.store.pauses.current()
            if not found and (unwritten := _unwritten(expiry, notes.values())):
                by, reason, since = unwritten.by, unwritten.reason, unwritten.since
                found = _begin(expiry, unwritten.until, by=by, reason=reason, since=since)
                return
        for each, noted in notes.items():
            if found and noted[:2] != (found.since.timestamp(), _score(found)):
                each.pause(_score(found), found.since.timestamp())
            elif not found and noted.since is not None:
                each.resume(noted.since, release=False)
    except OrdersError as error:
        fields = about("pause_unknown", error=str(error))
        logger.warning("cannot tell whether the schedule is paused: %s", error, extra=fields)


def _begin(
    expiry: OrderExpiry,
    until: datetime | timedelta | None,
    *,
    by: str | None,
    reason: str | None,
    since: datetime | None = None,
) -> Pause:
    """Write a pause into the database, then into Redis."""
    begun = expiry.retry(partial(expiry.store.pauses.start, until, by=by, reason=reason, since=since))
    level = logging.ERROR if by == BRAKE else logging.WARNING
    logger.log(level, "%s", begun, extra=about("paused", by=by, reason=reason))
    try:
        for each in expiry.schedule.sets():
            each.pause(_score(begun), begun.since.timestamp())
    except ScheduleError as error:
        message = "the pause could not be noted in Redis: until the next sweep, orders are claimed, but not expired: %s"
        logger.warning(message, error, extra=about("pause_not_noted", error=str(error)))
    return begun


def _unwritten(expiry: OrderExpiry, notes: Iterable[Paused]) -> Pause | None:
    """Return a pause that only Redis knows of: by the brake, or one whose row was lost; None if there is none."""
    now, notes = expiry.schedule.now(), list(notes)
    if braked := [noted.braked_at for noted in notes if noted.braked_at]:
        limit = expiry.settings.brake or "a limit that this process does not have"
        reason = f"as many orders have expired as ORDERS_BRAKE allows: {limit}"
        return Pause(datetime.fromtimestamp(min(braked), UTC), None, BRAKE, reason)
    paused = [noted for noted in notes if noted.until is not None and noted.until > now]
    last = expiry.store.pauses.last() if paused else None
    lost = [noted for noted in paused if noted.since and not (last and noted.since <= last.since.timestamp())]
    if not lost:
        return None  # it is over, and Redis's copy was left
    since, until = max((noted.since or 0.0, noted.until or FOREVER) for noted in lost)
    ends = None if until >= FOREVER else datetime.fromtimestamp(until, UTC)
    return Pause(datetime.fromtimestamp(since, UTC), ends, None, "the database has lost who paused it, and why")


def _score(found: Pause) -> float:
    return found.until.timestamp() if found.until else FOREVER


def _text(name: str, text: str | None) -> str | None:
    if text is not None and not (isinstance(text, str) and 1 <= len(text) <= MAX_TEXT_LENGTH):
        raise ValueError(f"{name} is {text!r:.80}: it must be a text of 1 to {MAX_TEXT_LENGTH} characters")
    return text
