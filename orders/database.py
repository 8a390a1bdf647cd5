"""Connections, transactions and the clock of a database, and what its errors mean."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from orders.clock import Clock, SystemClock
from orders.config import mask
from orders.errors import ConfigError, StoreConflict, StoreError, StoreUnavailable

BUSY_TIMEOUT = 30.0
"""Seconds that a SQLite connection waits for another's write."""

CONNECT_TIMEOUT = 5
"""Seconds to wait for a connection to a database server, unless the URL says otherwise."""

MYSQL = {"mysql", "mariadb"}
"""SQLAlchemy's names of the one dialect."""

TRUSTED = 1.0
"""Seconds after its last use in which a connection is not tested: a test takes as long as an update."""

_READING = "orders_reading"
_GIVEN_BACK = "orders_given_back"


def create_engine(url: str) -> sa.Engine:
    """Return an engine fit for workers: bounded waits, tested connections, and for SQLite WAL and early locks."""
    place = sa.make_url(url)
    backend = place.get_backend_name()
    arguments: dict[str, Any] = {}
    if backend == "sqlite":
        if "timeout" not in place.query:
            arguments["timeout"] = BUSY_TIMEOUT
    elif "connect_timeout" not in place.query:
        arguments["connect_timeout"] = CONNECT_TIMEOUT
    # MySQL's usual level locks the gaps between rows, over which transactions on different orders meet in deadlocks.
    options = {"isolation_level": "READ COMMITTED"} if backend in MYSQL else {}
    try:
        engine = sa.create_engine(place, connect_args=arguments, **options)
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        raise ConfigError(
            f"ORDERS_DATABASE_URL is {mask(url)!r}, and its driver is not installed ({error}): "
            "install order-expiry[postgresql] or the driver that the URL names"
        ) from error
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    else:
        event.listen(engine, "checkin", _note_the_time)
        event.listen(engine, "checkout", partial(_test, engine.dialect))
    if backend in MYSQL:
        event.listen(engine, "connect", _prepare_mysql)
    return engine


@contextmanager
def transaction(engine: sa.Engine, *, reading: bool = False) -> Iterator[sa.Connection]:
    """Yield a connection in a transaction, which is committed at the end.

    Raises:
        StoreError: the database failed; nothing has changed.
    """
    with (
        translated(engine.url),
        engine.connect().execution_options(**{_READING: reading}) as connection,
        connection.begin(),
    ):
        yield connection


@contextmanager
def translated(url: sa.URL) -> Iterator[None]:
    """Turn SQLAlchemy's errors into ours."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _translate(error, url) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable(f"no database connection became free in time: {error}") from error


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


def _note_the_time(_: object, record: Any) -> None:
    record.info[_GIVEN_BACK] = time.monotonic()


def _test(dialect: sa.Dialect, connection: Any, record: Any, _: object) -> None:
    """Have the pool replace a connection that is dead; of one that was used a moment ago, trust that it is not."""
    idle = time.monotonic() - record.info.get(_GIVEN_BACK, time.monotonic())
    if idle > TRUSTED:
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise exc.DisconnectionError(str(error)) from error


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # BEGIN is ours, see below
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other
    connection.execute("PRAGMA synchronous = NORMAL")  # what a power cut undoes, reconcile finds


def _prepare_mysql(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")  # in which TIMESTAMP columns are read and written


def _begin_immediate(connection: sa.Connection) -> None:
    # Taking the write lock first waits for other writers; upgrading a read lock later fails at once.
    reading = connection.get_execution_options().get(_READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


_ORDERS_FAULT = {"22", "23", "27", "44", "45", "P0"}
"""SQLSTATE classes that speak of the row, not of the database: data, integrity, triggers, and what they raise."""

_CONFLICTS = {"40001", "40P01"}
"""SQLSTATEs of a serialization failure and of a deadlock: the transaction was rolled back, and may be run again."""

_MYSQL_SIGNAL = 1644
"""MySQL's number for what a trigger raises by SIGNAL; its drivers do not tell the SQLSTATE."""

_MYSQL_CONFLICTS = {1213, 1020}
"""MySQL's number for a deadlock, and MariaDB's for a row that changed since it was read."""


def _translate(error: exc.DBAPIError, url: sa.URL) -> StoreError:
    where = f"the database at ORDERS_DATABASE_URL {mask(url.render_as_string())}"
    return judge(error.orig, where, is_about_data=isinstance(error, exc.DataError | exc.IntegrityError))


def judge(error: BaseException | None, where: str, *, is_about_data: bool) -> StoreError:
    """Return what a driver's error means.

    Args:
        error: what the driver raised.
        where: the database, in the words of the message.
        is_about_data: whether the driver calls it an error of data or integrity, if it tells no SQLSTATE.
    """
    cause = str(error).strip()
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    number = error.args[0] if error and error.args else None
    if sqlstate in _CONFLICTS or (not sqlstate and number in _MYSQL_CONFLICTS):
        return StoreConflict(f"{where}: {cause}")
    is_orders_fault = sqlstate[:2] in _ORDERS_FAULT if sqlstate else is_about_data or number == _MYSQL_SIGNAL
    return StoreError(f"{where} refused: {cause}") if is_orders_fault else StoreUnavailable(f"{where}: {cause}")
