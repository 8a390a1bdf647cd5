"""Time: absolute, in UTC, from a clock that is passed in."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Protocol

from orders.errors import InvalidDeadline


class Clock(Protocol):
    """What tells the time."""

    def now(self) -> datetime:
        """Return the present instant as an aware datetime in UTC."""
        ...


class SystemClock:
    """The clock of this host."""

    def now(self) -> datetime:
        """Return the present instant as an aware datetime in UTC."""
        return datetime.now(UTC)


def resolve_deadline(
    clock: Clock, *, expires_at: datetime | None, timeout: float | timedelta | None, default: float
) -> datetime:
    """Return the deadline that a caller means, in UTC.

    Args:
        clock: tells the instant from which *timeout* counts.
        expires_at: the deadline itself, aware. May lie in the past: the order is then due at once.
        timeout: instead of it, seconds from now, zero or more.
        default: seconds from now if neither is given.

    Raises:
        InvalidDeadline: both are given, or one is not what it must be.
    """
    if expires_at is None:
        return _from_now(clock, default if timeout is None else timeout)
    if timeout is not None:
        raise InvalidDeadline(f"expires_at={expires_at!r} and timeout={timeout!r} exclude each other: give one")
    return as_utc(expires_at)


def as_utc(moment: datetime) -> datetime:
    """Return an aware datetime in UTC.

    Raises:
        InvalidDeadline: it is no datetime, it is naive, or it lies outside the years that UTC can express.
    """
    if not isinstance(moment, datetime):
        raise InvalidDeadline(f"a deadline is an aware datetime, not {moment!r} ({type(moment).__name__})")
    if moment.utcoffset() is None:
        raise InvalidDeadline(
            f"the deadline {moment!r} is naive: give it a time zone, as in datetime.now(UTC) + timedelta(minutes=30)"
        )
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise InvalidDeadline(f"the deadline {moment!r} cannot be expressed in UTC") from error


def _from_now(clock: Clock, timeout: float | timedelta) -> datetime:
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        raise InvalidDeadline(f"a timeout is a number of seconds or a timedelta, zero or more, not {timeout!r}")
    try:
        return clock.now() + timedelta(seconds=seconds)
    except OverflowError as error:
        raise InvalidDeadline(f"the timeout {timeout!r} reaches beyond the year 9999") from error
