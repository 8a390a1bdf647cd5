"""What time it is, as a statement says it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orders.clock import Clock, SystemClock
from orders.store.engine import MYSQL


def deciding_clock(dialect: str, given: Clock | None) -> Clock | None:
    """Return what decides the time in place of the database; None if the database does. SQLite has no clock."""
    return given or (SystemClock() if dialect == "sqlite" else None)


def now(dialect: str, clock: Clock | None, kind: sa.types.TypeEngine[datetime]) -> sa.ColumnElement[datetime]:
    """Return the instant at which a statement runs, as it says it itself, comparable with a column of type *kind*."""
    if clock is not None:
        return sa.bindparam(None, callable_=clock.now, type_=kind)
    if dialect == "postgresql":
        instant: sa.ColumnElement[Any] = sa.func.statement_timestamp()
        return instant if getattr(kind, "timezone", False) else sa.func.timezone("UTC", instant)
    return sa.func.utc_timestamp(sa.literal_column("6"))


def from_now(
    seconds: float, dialect: str, clock: Clock | None, kind: sa.types.TypeEngine[datetime]
) -> sa.ColumnElement[datetime]:
    """Return the instant so many seconds from now; a negative number lies in the past."""
    if clock is not None:
        return sa.bindparam(None, callable_=lambda: clock.now() + timedelta(seconds=seconds), type_=kind)
    present = now(dialect, clock, kind)
    if not seconds:
        return present
    if dialect in MYSQL:
        return sa.func.timestampadd(sa.text("MICROSECOND"), round(seconds * 1e6), present)
    return present + sa.literal(timedelta(seconds=seconds), sa.Interval())


def seconds_since(
    instant: sa.ColumnElement[datetime], dialect: str, clock: Clock | None, kind: sa.types.TypeEngine[datetime]
) -> sa.ColumnElement[float]:
    """Return how long ago an instant was, as a statement says it."""
    present = now(dialect, clock, kind)
    if dialect == "postgresql":
        # EXTRACT makes a number of any precision, which takes far longer than the rest.
        return sa.func.date_part("epoch", present - instant, type_=sa.Double)
    if dialect in MYSQL:
        return sa.func.timestampdiff(sa.text("MICROSECOND"), instant, present) * sa.literal_column("1e-6", sa.Double)
    return (sa.func.julianday(present) - sa.func.julianday(instant)) * sa.literal_column("86400.0", sa.Double)
