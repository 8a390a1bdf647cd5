"""SQL expressions for the current time, on the database's clock or on a given one."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orders.clock import Clock, SystemClock
from orders.store.engine import MYSQL


def deciding_clock(dialect: str, given: Clock | None) -> Clock | None:
    """Return the clock to use; None for the database's. SQLite has no clock, so this host's is used for it."""
    return given or (SystemClock() if dialect == "sqlite" else None)


def now(dialect: str, clock: Clock | None, kind: sa.types.TypeEngine[datetime]) -> sa.ColumnElement[datetime]:
    """Return the time at which the statement runs, comparable with a column of type *kind*."""
    if clock is not None:
        return sa.bindparam(None, callable_=clock.now, type_=kind)
    if dialect == "postgresql":
        time: sa.ColumnElement[Any] = sa.func.statement_timestamp()
        return time if getattr(kind, "timezone", False) else sa.func.timezone("UTC", time)
    return sa.func.utc_timestamp(sa.literal_column("6"))


def from_now(
    seconds: float, dialect: str, clock: Clock | None, kind: sa.types.TypeEngine[datetime]
) -> sa.ColumnElement[datetime]:
    """Return the time *seconds* from now; a negative number is in the past."""
    if clock is not None:
        return sa.bindparam(None, callable_=lambda: clock.now() + timedelta(seconds=seconds), type_=kind)
    present = now(dialect, clock, kind)
    if not seconds:
        return present
    if dialect in MYSQL:
        return sa.func.timestampadd(sa.text("MICROSECOND"), round(seconds * 1e6), present)
    return present + sa.literal(timedelta(seconds=seconds), sa.Interval())


def seconds_since(
    time: sa.ColumnElement[datetime], dialect: str, clock: Clock | None, kind: sa.types.TypeEngine[datetime]
) -> sa.ColumnElement[float]:
    """Return how many seconds ago *time* was."""
    present = now(dialect, clock, kind)
    if dialect == "postgresql":
        # EXTRACT returns a NUMERIC, which takes far longer than the rest of the statement.
        return sa.func.date_part("epoch", present - time, type_=sa.Double)
    if dialect in MYSQL:
        return sa.func.timestampdiff(sa.text("MICROSECOND"), time, present) * sa.literal_column("1e-6", sa.Double)
    return (sa.func.julianday(present) - sa.func.julianday(time)) * sa.literal_column("86400.0", sa.Double)
