"""SQLAlchemy on Django's own database connections: what compiles our statements, and what carries them.

`Bridge.connect` gives an SQLAlchemy connection that is a Django connection underneath. Its statements go through
Django's cursors, which log them, count them, and know of a connection or a transaction that is broken. Its commits and
rollbacks do nothing, because Django's ``atomic`` has the transaction.
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

IDLE = 1.0
"""Seconds after which a connection is asked whether it still lives, before it is used for a transaction of ours."""

_USED = "order_expiry_used"
"""The attribute of a connection that tells when it was used last."""

_making = Lock()
_thread = local()
_kept: defaultdict[tuple[int, str], list[BaseDatabaseWrapper]] = defaultdict(list)
"""Connections of a process that wait for a thread, by its id and the alias: a fork must not use its parent's."""


class _DateTime(sqlite.DATETIME):
    """A moment in SQLite, which compares it as text: in the very format of Django, whose driver reads it as well."""

    def bind_processor(self, dialect: sa.Dialect) -> Callable[[datetime | None], str | None]:
        return lambda moment: None if moment is None else str(moment)

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], datetime | None]:
        return lambda read: datetime.fromisoformat(read) if isinstance(read, str) else read


class _Cursor:
    """Django's cursor, which raises the driver's errors: SQLAlchemy knows those."""

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
                raise  # of Django's own
            raise error.__cause__ from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class _Borrowed:
    """Django's connection as SQLAlchemy sees it."""

    def __init__(self, connection: BaseDatabaseWrapper) -> None:
        self._connection = connection

    def cursor(self, *_: object, **__: object) -> Any:
        return _Cursor(self._connection.cursor())

    def commit(self) -> None:
        """Leave it to ``atomic``."""

    rollback = close = commit

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection.connection, name)


class Bridge:
    """What SQLAlchemy knows of one of Django's databases. Safe to share by threads: each has its own connection.

    Args:
        alias: the database in ``DATABASES``.
    """

    def __init__(self, alias: str) -> None:
        self._alias = alias
        self._engine: sa.Engine | None = None

    @contextmanager
    def connect(self) -> Iterator[sa.Connection]:
        """Yield this thread's connection, in whatever transaction it is."""
        with self._made().connect() as connection:
            yield connection

    def _made(self) -> sa.Engine:
        if self._engine is None:
            with _making:
                self._engine = self._engine or self._make()
        return self._engine

    def _make(self) -> sa.Engine:
        dialect = dialect_of(connections[self._alias])
        pool = NullPool(self._borrow, reset_on_return=None, dialect=dialect)
        # Not by `create_engine`: that would add functions and handlers of SQLAlchemy's to Django's connections.
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
    """Have what happens in here commit or fail as a whole: as a transaction or, in the caller's, as a savepoint.

    Raises:
        TransactionManagementError: a hook has rolled back.
    """
    connection = connections[alias]
    with ExitStack() as stack:
        with _locking_early(connection):
            stack.enter_context(transaction.atomic(using=alias))
        yield
        if connection.needs_rollback:
            raise transaction.TransactionManagementError(
                "a hook has rolled back the transaction that it was called in, or has gone on after an error in it"
            )


def is_joined(alias: str) -> bool:
    """Tell whether this thread is in a transaction of the caller's."""
    connection = connections[alias]
    return connection.in_atomic_block or (connection.connection is not None and not connection.autocommit)


@contextmanager
def keeping() -> Iterator[None]:
    """Have transactions of ours that begin in here use connections that stay open and go from thread to thread.

    Celery closes a thread's own connection before and after each task. One that each thread keeps
    (``CELERY_DB_REUSE_MAX``) makes 32 of a worker, of which it uses but a few at a time.
    """
    _thread.keeps = True
    try:
        yield
    finally:
        _thread.keeps = False


@contextmanager
def lent(alias: str) -> Iterator[None]:
    """Have a thread that is `keeping` use a kept connection in here, unless it has one open, or the driver a pool."""
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
    """Close this thread's connection, and those that wait for a thread."""
    connections[alias].close()
    kept = _kept[os.getpid(), alias]
    while kept:
        kept.pop().close()


def renew(alias: str) -> None:
    """Close the thread's connection if it is dead, so that Django opens another.

    Django does that when a request begins. A worker handles none, and its server may have been restarted since.
    """
    connection = connections[alias]
    now, seen = time.monotonic(), vars(connection)
    idle, seen[_USED] = now - seen.get(_USED, now), now
    if connection.connection is None or connection.in_atomic_block:
        return
    if connection.errors_occurred or idle > IDLE:
        if connection.is_usable():
            connection.errors_occurred = False
        else:
            connection.close()


@contextmanager
def _locking_early(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """Have a SQLite transaction that begins in here take the write lock at once, and wait for it.

    One that reads first and locks later fails at once if another has written meanwhile.
    """
    if connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    connection.ensure_connection()  # which reads the mode that the project has chosen
    mode = vars(connection).get("transaction_mode")
    vars(connection)["transaction_mode"] = "IMMEDIATE"
    try:
        yield
    finally:
        vars(connection)["transaction_mode"] = mode


def dialect_of(connection: BaseDatabaseWrapper) -> sa.Dialect:
    """Return what compiles statements for a Django connection, and reads what its driver returns."""
    options: dict[str, Any] = {}
    if connection.vendor == "postgresql":
        from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: PLC0415 - imports the driver

        driver, options = ("psycopg" if is_psycopg3 else "psycopg2"), {"use_native_hstore": False}
    elif connection.vendor == "mysql":
        # PyMySQL may stand in for mysqlclient, under its name.
        database = getattr(connection, "Database", None)
        driver = "pymysql" if getattr(database, "__name__", "") == "pymysql" else "mysqldb"
    elif connection.vendor == "sqlite":
        driver, options = "pysqlite", {"paramstyle": "format"}  # which Django's cursor takes
    else:
        raise ConfigError(
            f"DATABASES[{connection.alias!r}]['ENGINE'] is {connection.settings_dict['ENGINE']!r}: "
            "accepted is a PostgreSQL, MySQL, MariaDB or SQLite"
        )
    kind: Any = sa.make_url(f"{connection.vendor}+{driver}://").get_dialect()
    dialect: DefaultDialect = kind(dbapi=kind.import_dbapi(), **options)
    if connection.vendor == "sqlite":
        dialect.colspecs = {**dialect.colspecs, sa.DateTime: _DateTime}
    return dialect
