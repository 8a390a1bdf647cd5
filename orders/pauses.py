"""The functions that pause the schedule and let it go on: on the `orders.expiry.OrderExpiry` of the process."""

from __future__ import annotations

from datetime import datetime, timedelta

from orders.expiry import current_pause, pause_schedule, resume_schedule
from orders.process import current
from orders.store import Pause


def pause(
    seconds: float | timedelta | None = None,
    *,
    until: datetime | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> Pause:
    """Let nothing expire for some time: on no road, in no process, from now on. Payments and events go on.

    What has already begun its update may finish. Pausing again changes the end, the reason and who, not the begin.

    Args:
        seconds: for how many seconds, or a timedelta. Without an end, the pause lasts until `resume`.
        until: instead of it, the end, an aware datetime.
        reason: why, 1 to 255 characters.
        by: who wants it, 1 to 255 characters.

    Raises:
        InvalidDeadline: the end is not in the future, not a valid time, or given twice.
        ValueError: *reason* or *by* is not a text of 1 to 255 characters.
        SchemaError: there is no events table, which holds the pause.
        StoreError: the database failed; nothing is paused.
    """
    return pause_schedule(current(), seconds, until=until, reason=reason, by=by)


def resume(*, extend: bool = False) -> Pause | None:
    """End the pause, and release the brake (``ORDERS_BRAKE``).

    Args:
        extend: first give every pending order that fell due in the pause as much more time as the pause was long.
            If that fails or is interrupted, the pause goes on; call again, and no order is extended twice.

    Returns:
        The pause; None if the schedule was not paused.

    Raises:
        StoreError: the database failed; the pause goes on.
        ScheduleError: Redis failed. Call again: the pause may go on.
    """
    return resume_schedule(current(), extend=extend)


def paused() -> Pause | None:
    """Return the pause; None if the schedule is not paused.

    Raises:
        StoreError: the database failed.
        ScheduleError: Redis failed.
    """
    return current_pause(current())
