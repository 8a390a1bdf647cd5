"""SQLAlchemy engines for workers and applications: timeouts, connection tests, and what each database needs."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from orders.config import mask, prepare_threshold
from orders.errors import ConfigError

BUSY_TIMEOUT = 30.0
"""Seconds that a SQLite connection waits while another one writes."""

CONNECT_TIMEOUT = 5
"""Seconds to wait for a connection to a database server, unless the URL says otherwise."""

DRIVERS = {"postgresql": "psycopg", "mysql": "pymysql", "mariadb": "pymysql"}
"""The drivers that our extras install, for URLs that name none."""

EXTRAS = {"postgresql": "order-expiry[postgresql]", "mysql": "order-expiry[mysql]", "mariadb": "order-expiry[mysql]"}

MYSQL = {"mysql", "mariadb"}
"""SQLAlchemy's two names for the same kind of database."""

READ_COMMITTED = "READ COMMITTED"
"""The isolation level of our transactions, whatever the default of the database is. A conditional update that has
waited for a row must see what the other transaction made of it: at a higher level it would fail instead. On MySQL the
default level also locks the gaps between rows, so that transactions on different orders can deadlock.

The drivers for PostgreSQL send the level with each ``BEGIN``, so it also holds behind a pooler that gives every
transaction another session."""

TRUSTED = 1.0
"""Seconds after its last use during which a connection is not tested: a test takes as long as an update."""

READING = "orders_reading"
"""The execution option for a transaction that does not write."""

_GIVEN_BACK = "orders_given_back"


def create_engine(url: str) -> sa.Engine:
    """Return an engine with bounded waits and tested connections; on SQLite, with WAL and ``BEGIN IMMEDIATE``.

    Nothing that it sends to PostgreSQL outlives a transaction, so a pooler may be in between. psycopg would prepare
    statements, which some poolers cannot handle: it does so only if the URL sets ``?prepare_threshold=``.

    Raises:
        ConfigError: the driver of the URL is not installed.
    """
    place = sa.make_url(url)
    backend = place.get_backend_name()
    options = {} if backend == "sqlite" else {"isolation_level": READ_COMMITTED}
    try:
        engine = _with_driver(place, **options)
    except (exc.NoSuchModuleError, ModuleNotFoundError) as error:
        extra = f"{EXTRAS[backend]}, or " if backend in EXTRAS else ""
        raise ConfigError(
            f"ORDERS_DATABASE_URL is {mask(url)!r}, but its driver is not installed ({error}): "
            f"install {extra}the driver that the URL names"
        ) from error
    if backend == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_immediate)
    else:
        event.listen(engine, "checkin", _note_checkin)
        event.listen(engine, "checkout", partial(_test, engine.dialect))
    if backend in MYSQL:
        event.listen(engine, "connect", _prepare_mysql)
    return engine


def _with_driver(place: sa.URL, **options: Any) -> sa.Engine:
    """Return an engine; if the URL names no driver and SQLAlchemy's default is not installed, on ours."""
    own = place.difference_update_query(["prepare_threshold"])
    try:
        return sa.create_engine(own, connect_args=_arguments(place), **options)
    except ModuleNotFoundError:
        if place.drivername not in DRIVERS:
            raise
        drivername = f"{place.drivername}+{DRIVERS[place.drivername]}"
        arguments = _arguments(place.set(drivername=drivername))
        return sa.create_engine(own.set(drivername=drivername), connect_args=arguments, **options)


def _arguments(place: sa.URL) -> dict[str, Any]:
    """Return the driver's arguments that are not in the URL, or not as text."""
    if place.get_backend_name() == "sqlite":
        return {} if "timeout" in place.query else {"timeout": BUSY_TIMEOUT}
    arguments: dict[str, Any] = {} if "connect_timeout" in place.query else {"connect_timeout": CONNECT_TIMEOUT}
    if place.get_driver_name() == "psycopg":
        arguments["prepare_threshold"] = prepare_threshold(place)
    return arguments


def _note_checkin(_: object, record: Any) -> None:
    record.info[_GIVEN_BACK] = time.monotonic()


def _test(dialect: sa.Dialect, connection: Any, record: Any, _: object) -> None:
    """Test a connection, unless it was used very recently; have the pool replace it if it is dead."""
    idle = time.monotonic() - record.info.get(_GIVEN_BACK, time.monotonic())
    if idle > TRUSTED:
        try:
            dialect.do_ping(connection)
        except dialect.loaded_dbapi.Error as error:
            raise exc.DisconnectionError(str(error)) from error


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # we send BEGIN ourselves, see below
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = WAL")  # readers and the writer do not wait for each other
    connection.execute("PRAGMA synchronous = NORMAL")  # reconcile repairs what a power cut undoes


def _prepare_mysql(connection: Any, _: object) -> None:
    with connection.cursor() as cursor:
        # TIMESTAMP columns are read and written in the time zone of the session.
        cursor.execute("SET time_zone = '+00:00'")


def _begin_immediate(connection: sa.Connection) -> None:
    # Taking the write lock first waits for other writers; upgrading a read lock later would fail at once.
    reading = connection.get_execution_options().get(READING)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")
