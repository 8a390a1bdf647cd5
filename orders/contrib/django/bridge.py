"""SQLAlchemy on Django's own database connections.

`Bridge.connect` yields an SQLAlchemy connection that runs its statements on a Django connection. They go through
Django's cursors, which log and count them and detect a broken connection or transaction. Its commits and rollbacks do
nothing, because Django's ``atomic`` controls the transaction.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from threading import Lock, local
from typing import Any, cast

import sqlalchemy as sa
from django.db import Error, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import NullPool

from orders.errors import ConfigError
from orders.store import READ_COMMITTED

IDLE = 1.0
"""A connection that was idle for more seconds than this is tested before we begin a transaction on it."""

_USED = "order_expiry_used"
"""The attribute of a connection with the time of its last use."""

_engine_lock = Lock()
_thread = local()
_kept: defaultdict[tuple[int, str], list[BaseDatabaseWrapper]] = defaultdict(list)
"""Idle kept connections, by process id and alias: a forked process must not use its parent's connections."""


class _DateTime(sqlite.DATETIME):
    """A datetime in SQLite, in exactly Django's text format: SQLite compares datetimes as text."""

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[datetime | None], str | None]:
        return lambda value: None if value is None else str(value)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        return lambda value: datetime.fromisoformat(value) if isinstance(value, str) else value


class _Cursor:
    """A Django cursor that raises the driver's own errors, which SQLAlchemy expects."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def execute(self, statement: str, parameters: Any = None) -> Any:
        return self._run(self._cursor.execute, statement, parameters)

    def executemany(self, statement: str, parameters: Any) -> Any:
        return self._run(self._cursor.executemany, statement, parameters)

    def _run(self, execute: Callable[[str, Any], Any], statement: str, parameters: Any) -> Any:
        try:
            return execute(statement, parameters)
        except Error as error:
            if error.__cause__ is None:
                raise  # Django itself raised it
            raise error.__cause__ from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class _Borrowed:
    """A Django connection with the interface that SQLAlchemy expects of a DBAPI connection."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def cursor(self, *_: object, **__: object) -> Any:
        return _Cursor(self._connection.cursor())

    def commit(self) -> None:
        """Do nothing: ``atomic`` commits."""

    rollback = close = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection.connection, name)


class Bridge:
    """SQLAlchemy on one of Django's databases. Threads may share it: each uses its own connection.

    Args:
        alias: the database in ``DATABASES``.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._engine: sa.Engine | None = None

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """Yield this thread's connection, in its current transaction if there is one."""
        with self._get_engine().connect() as connection:
            yield connection

    def _get_engine(self) -> sa.Engine:
        if self._engine is None:
            with _engine_lock:
                self._engine = self._engine or self._create_engine()
        return self._engine

    def _create_engine(self) -> sa.Engine:
        dialect = dialect_of(connections[self._alias])
        pool = NullPool(self._borrow, reset_on_return=None, dialect=dialect)
        # `create_engine` would install SQLAlchemy's functions and handlers on Django's connections.
        engine = sa.Engine(pool, dialect, sa.make_url(f"{dialect.name}+{dialect.driver}://"))
        with engine.connect() as connection:
            dialect.initialize(connection)
        return engine

    def _borrow(self) -> DBAPIConnection:
        connection = connections[self._alias]
        connection.ensure_connection()
        return cast("DBAPIConnection", _Borrowed(connection))


@contextmanager
def atomic(alias: str) -> Iterator[None]:
    """Run the block in a transaction or, inside the caller's, in a savepoint.

    Raises:
        TransactionManagementError: a hook rolled back.
    """
    connection = connections[alias]
    with ExitStack() as stack:
        is_ours = not is_joined(alias)
        with _locking_early(connection):
            stack.enter_context(transaction.atomic(using=alias))
        if is_ours and connection.vendor != "sqlite":
            with connection.cursor() as cursor:
                # For this transaction only, whatever the default of the database or of DATABASES is.
                cursor.execute(f"SET TRANSACTION ISOLATION LEVEL {READ_COMMITTED}")
        yield
        if connection.needs_rollback:
            raise transaction.TransactionManagementError(
                "a hook rolled back the transaction it was called in, or continued after a database error in it"
            )


def is_joined(alias: str) -> bool:
    """Return whether this thread is in a transaction of the caller."""
    connection = connections[alias]
    return connection.in_atomic_block or (connection.connection is not None and not connection.autocommit)


@contextmanager
def keeping() -> Iterator[None]:
    """In the block, run our own transactions on connections that stay open and are passed between threads.

    Celery closes a thread's own connection before and after each task. If each thread kept its own
    (``CELERY_DB_REUSE_MAX``), a worker would hold 32 connections and use only a few of them at a time.
    """
    _thread.keeps = True
    try:
        yield
    finally:
        _thread.keeps = False


@contextmanager
def lent(alias: str) -> Iterator[None]:
    """In the block, lend a kept connection to a thread that is `keeping`.

    Not if the thread has a connection open, or if Django uses the driver's pool.
    """
    own = connections[alias]
    if not getattr(_thread, "keeps", False) or own.connection is not None or own.settings_dict["OPTIONS"].get("pool"):
        yield
        return
    kept = _kept[os.getpid(), alias]
    try:
        connection = kept.pop()
    except IndexError:
        connection = connections.create_connection(alias)
        connection.inc_thread_sharing()
    connections[alias] = connection
    try:
        yield
    finally:
        connections[alias] = own
        kept.append(connection)


def close(alias: str) -> None:
    """Close this thread's connection and the idle kept ones."""
    connections[alias].close()
    kept = _kept[os.getpid(), alias]
    while kept:
        kept.pop().close()


def renew(alias: str) -> None:
    """Close the thread's connection if it is dead, so that Django opens a new one.

    Django does this when a request begins. A worker handles no requests, and the server may have restarted meanwhile.
    """
    connection = connections[alias]
    now, attributes = time.monotonic(), vars(connection)
    idle, attributes[_USED] = now - attributes.get(_USED, now), now
    if connection.connection is None or connection.in_atomic_block:
        return
    if connection.errors_occurred or idle > IDLE:
        if connection.is_usable():
            connection.errors_occurred = False
        else:
            connection.close()


@contextmanager
def _locking_early(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Make a SQLite transaction that begins in the block take the write lock at its start, and wait for it.

    If it read first and locked later, it would fail at once if another connection wrote in between.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()  # sets the mode that the project chose
    mode = vars(connection).get("transaction_mode")
    vars(connection)["transaction_mode"] = "IMMEDIATE"
    try:
        yield
    finally:
        vars(connection)["transaction_mode"] = mode


def dialect_of(connection: BaseDatabaseWrapper) -> sa.Dialect:
    """Return the SQLAlchemy dialect for a Django connection and its driver."""
    options: dict[str, Any] = {}
    if connection.vendor == "postgresql":
        from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: PLC0415 - imports the driver

        driver, options = ("psycopg" if is_psycopg3 else "psycopg2"), {"use_native_hstore": False}
    elif connection.vendor == "mysql":
        # PyMySQL may be installed under the name of mysqlclient.
        database = getattr(connection, "Database", None)
        driver = "pymysql" if getattr(database, "__name__", "") == "pymysql" else "mysqldb"
    elif connection.vendor == "sqlite":
        driver, options = "pysqlite", {"paramstyle": "format"}  # as Django's cursor expects
    else:
        raise ConfigError(
            f"DATABASES[{connection.alias!r}]['ENGINE'] is {connection.settings_dict['ENGINE']!r}: "
            "it must be a backend for PostgreSQL, MySQL, MariaDB or SQLite"
        )
    dialect_class: Any = sa.make_url(f"{connection.vendor}+{driver}://").get_dialect()
    dialect: DefaultDialect = dialect_class(dbapi=dialect_class.import_dbapi(), **options)
    if connection.vendor == "sqlite":
        dialect.colspecs = {**dialect.colspecs, sa.DateTime: _DateTime}
    return dialect
