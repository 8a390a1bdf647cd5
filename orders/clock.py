"""Time: aware datetimes in UTC, from a clock that is passed in."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, Protocol

from orders.errors import InvalidDeadline

UNITS = {"d": 86_400, "h": 3600, "min": 60}
"""The units of `distance`, in seconds. A time span is shown in the longest one of which it has two."""


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
        return from_now(clock, default if timeout is None else timeout)
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


def from_now(clock: Clock, timeout: float | timedelta) -> datetime:
    """Return the time so many seconds (or a timedelta) from now.

    Raises:
        InvalidDeadline: *timeout* is neither, is negative, or ends beyond the year 9999.
    """
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(seconds, int) and seconds.bit_length() > 64:
        raise InvalidDeadline(f"the timeout is an integer of {seconds.bit_length()} bits: it ends beyond the year 9999")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds < math.inf:
        raise InvalidDeadline(f"a timeout must be a number of seconds or a timedelta, zero or more, not {timeout!r}")
    try:
        return clock.now() + timedelta(seconds=seconds)
    except OverflowError as error:
        raise InvalidDeadline(f"the timeout {timeout!r} ends beyond the year 9999") from error


def to_datetime(seconds: float | None) -> datetime | None:
    """Convert a Unix time to a datetime in UTC; None if it is not a valid date, because a score may be any number."""
    if seconds is None or not 0 <= seconds < 253_402_300_800:  # the end of the year 9999
        return None
    return datetime.fromtimestamp(seconds, UTC)


def local(
    moment: datetime, zone: tzinfo | None = None, *, precision: Literal["seconds", "milliseconds"] = "seconds"
) -> str:
    """Return a time for people, with its zone: ``2030-01-31 12:00:00 CET``.

    Args:
        moment: an aware datetime.
        zone: by default that of this process: ``TIME_ZONE`` of Django, which sets ``TZ``; elsewhere ``TZ``, or the
            host's zone.
        precision: of the seconds.
    """
    with suppress(OverflowError):  # in the year 9999; UTC can express it
        moment = moment.astimezone(zone)
    return f"{moment.replace(tzinfo=None).isoformat(' ', precision)} {moment:%Z}"


def distance(moment: datetime, now: datetime) -> str:
    """Return how far a time is from now, for people: ``in 12 s``, ``3 min ago``."""
    seconds = round((moment - now).total_seconds())
    if seconds == 0:
        return "now"
    size = abs(seconds)
    number, unit = next(((size // length, unit) for unit, length in UNITS.items() if size >= 2 * length), (size, "s"))
    return f"in {number} {unit}" if seconds > 0 else f"{number} {unit} ago"


def span(seconds: int) -> str:
    """Return a number of seconds for people, in the largest unit that has no remainder: ``10 min``."""
    number, unit = next(
        ((seconds // length, unit) for unit, length in UNITS.items() if seconds % length == 0), (seconds, "s")
    )
    return f"{number} {unit}"


def when(moment: datetime, now: datetime) -> str:
    """Return a time for people, in the zone of this process, and how far it is from now."""
    return f"{local(moment)} ({distance(moment, now)})"
