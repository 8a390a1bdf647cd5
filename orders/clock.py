"""Time: aware datetimes in UTC, from a clock that is passed in."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Protocol

from orders.errors import InvalidDeadline


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current time as an aware datetime in UTC."""
        ...


class SystemClock:
    """The clock of this host."""

    def now(self) -> datetime:
        """Return the current time as an aware datetime in UTC."""
        return datetime.now(UTC)


def resolve_deadline(
    clock: Clock, *, expires_at: datetime | None, timeout: float | timedelta | None, default: float
) -> datetime:
    """Return the deadline in UTC.

    Args:
        clock: tells the time from which *timeout* counts.
        expires_at: the deadline, an aware datetime. If it has passed, the order is due at once.
        timeout: instead of a deadline, seconds (or a timedelta) from now, zero or more.
        default: seconds from now if neither is given.

    Raises:
        InvalidDeadline: both are given, or one is invalid.
    """
    if expires_at is None:
        return _from_now(clock, default if timeout is None else timeout)
    if timeout is not None:
        raise InvalidDeadline(f"expires_at={expires_at!r} and timeout={timeout!r} exclude each other: give only one")
    return as_utc(expires_at)


def as_utc(deadline: datetime) -> datetime:
    """Return an aware datetime in UTC.

    Raises:
        InvalidDeadline: it is not a datetime, it is naive, or UTC cannot express it.
    """
    if not isinstance(deadline, datetime):
        raise InvalidDeadline(f"a deadline must be an aware datetime, not {deadline!r} ({type(deadline).__name__})")
    if deadline.utcoffset() is None:
        raise InvalidDeadline(
            f"the deadline {deadline!r} is naive: give it a time zone, as in datetime.now(UTC) + timedelta(minutes=30)"
        )
    try:
        return deadline.astimezone(UTC)
    except OverflowError as error:
        raise InvalidDeadline(f"the deadline {deadline!r} cannot be expressed in UTC") from error


def _from_now(clock: Clock, timeout: float | timedelta) -> datetime:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        raise InvalidDeadline(f"a timeout must be a number of seconds or a timedelta, zero or more, not {timeout!r}")
    try:
        return clock.now() + timedelta(seconds=seconds)
    except OverflowError as error:
        raise InvalidDeadline(f"the timeout {timeout!r} ends beyond the year 9999") from error
