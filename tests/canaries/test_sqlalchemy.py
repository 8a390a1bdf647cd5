"""What `orders.store` and the bridge to Django use of SQLAlchemy: engines made by hand, and when events come."""

from __future__ import annotations

import gc
import sqlite3
from typing import Any
from unittest.mock import Mock
from weakref import WeakSet

import pytest
import sqlalchemy as sa
from sqlalchemy import event, types
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite
from sqlalchemy.pool import NullPool

from tests.canaries.canary import canary

BRIDGE = "orders/contrib/django/bridge.py"
CALLER = "orders/store/caller_transaction.py"
ENGINE = "orders/store/engine.py"
TABLE = "orders/store/orders_table.py"


@pytest.fixture
def engine() -> Any:
    engine = sa.create_engine("sqlite://")
    yield engine
    engine.dispose()


@canary("sqlalchemy", "Engine(pool, dialect, url); NullPool(…, dialect=…); Dialect.initialize", BRIDGE)
def test_engine_made_by_hand() -> None:
    opened = sqlite3.connect(":memory:")
    borrowed = Mock(wraps=opened)
    dialect = SQLiteDialect_pysqlite(dbapi=sqlite3, paramstyle="format")
    pool = NullPool(lambda: borrowed, reset_on_return=None, dialect=dialect)
    engine = sa.Engine(pool, dialect, sa.make_url("sqlite+pysqlite://"))
    with engine.connect() as connection:
        dialect.initialize(connection)
        assert connection.exec_driver_sql("SELECT 1").scalar_one() == 1
        assert dialect.server_version_info
        # it has none of the functions that `create_engine` adds to each connection
        borrowed.create_function.assert_not_called()
        borrowed.rollback.reset_mock()
    # and for the pool, to give it back means to close it
    borrowed.rollback.assert_called_once_with()  # of the transaction that SQLAlchemy thinks it is in
    borrowed.close.assert_called_once_with()
    opened.close()


@canary("sqlalchemy", "Dialect(dbapi=…, paramstyle=…, use_native_hstore=…), import_dbapi, colspecs", BRIDGE)
def test_dialects() -> None:
    assert sa.make_url("sqlite+pysqlite://").get_dialect().import_dbapi().connect is sqlite3.connect
    dialect = SQLiteDialect_pysqlite(dbapi=sqlite3, paramstyle="format")
    assert str(sa.select(sa.bindparam("a", 1)).compile(dialect=dialect)).startswith("SELECT %s")
    postgresql_dialect: Any = sa.make_url("postgresql+psycopg://").get_dialect()
    postgresql_dialect(use_native_hstore=False)

    class Moment(sqlite.DATETIME):
        """Replaces SQLAlchemy's in one dialect."""

    dialect.colspecs = {**dialect.colspecs, sa.DateTime: Moment}
    assert isinstance(sa.DateTime().dialect_impl(dialect), Moment)
    assert not isinstance(sa.DateTime().dialect_impl(SQLiteDialect_pysqlite()), Moment)


@canary("sqlalchemy", "Dialect._on_connect_isolation_level", CALLER)
def test_on_connect_isolation_level() -> None:
    for options, level in (({"isolation_level": "AUTOCOMMIT"}, "AUTOCOMMIT"), ({}, None)):
        engine = sa.create_engine("sqlite://", **options)
        assert engine.dialect._on_connect_isolation_level == level
        with engine.connect() as connection:
            assert "isolation_level" not in connection.get_execution_options()
        engine.dispose()


@canary("sqlalchemy", "Connection.info: the pool record's, survives a commit", CALLER)
def test_info(engine: sa.Engine) -> None:
    given_back: list[Any] = []
    event.listen(engine.pool, "checkin", lambda _, record: given_back.append(record.info))
    with engine.connect() as connection:
        info = connection.info
        info["ours"] = "waits"
        connection.exec_driver_sql("SELECT 1")
        connection.commit()
        connection.exec_driver_sql("SELECT 1")
        assert connection.info is info
    assert given_back[0] is info
    assert info["ours"] == "waits"


@canary("sqlalchemy", "ConnectionEvents: commit fires before COMMIT, begin after it", CALLER)
def test_order_of_events(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    for name in ("begin", "commit", "rollback", "savepoint", "release_savepoint", "rollback_savepoint"):
        event.listen(engine, name, lambda *_, name=name: told.append(name))
    do_commit = engine.dialect.do_commit

    def commit(raw: Any) -> None:
        told.append("COMMIT")
        do_commit(raw)

    monkeypatch.setattr(engine.dialect, "do_commit", commit)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        nested = connection.begin_nested()
        nested.rollback()
        connection.begin_nested().commit()
        connection.commit()
        connection.exec_driver_sql("SELECT 1")
    nesting = ["savepoint", "rollback_savepoint", "savepoint", "release_savepoint"]
    assert told == ["begin", *nesting, "commit", "COMMIT", "begin", "rollback"]


@canary("sqlalchemy", "ExceptionContext.connection: handle_error fires if COMMIT fails", CALLER)
def test_a_commit_that_fails(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Any] = []
    event.listen(engine, "handle_error", lambda context: told.append(context.connection))
    monkeypatch.setattr(engine.dialect, "do_commit", Mock(side_effect=sqlite3.OperationalError("disk full")))
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
        with pytest.raises(sa.exc.OperationalError):
            connection.commit()
        assert told == [connection]


@canary("sqlalchemy", "event.listen: to the class Engine, for all engines and those with execution_options", CALLER)
def test_events_of_all_engines(engine: sa.Engine) -> None:
    told: list[sa.Connection] = []
    tell = told.append
    event.listen(sa.Engine, "commit", tell)
    try:
        for each in engine, engine.execution_options(isolation_level="AUTOCOMMIT"):
            told.clear()
            with each.connect() as connection:
                connection.exec_driver_sql("SELECT 1")
                connection.commit()
                assert told == [connection]
    finally:
        event.remove(sa.Engine, "commit", tell)


@canary("sqlalchemy", "Engine, Pool: members of a WeakSet", "orders/contrib/flask/transactions.py")
def test_weak_references() -> None:
    held: WeakSet[Any] = WeakSet()
    engine, other = sa.create_engine("sqlite://"), sa.create_engine("sqlite://")
    held.update([engine, engine.pool])
    assert engine in held
    assert other not in held
    engine.dispose()
    del engine
    gc.collect()
    assert not held


@canary("sqlalchemy", "Dialect.do_ping, loaded_dbapi", ENGINE)
def test_ping(engine: sa.Engine) -> None:
    driver: Any = engine.dialect.loaded_dbapi
    assert driver.Error is sqlite3.Error
    opened: Any = sqlite3.connect(":memory:")
    assert engine.dialect.do_ping(opened)
    opened.close()
    with pytest.raises(sqlite3.Error):
        engine.dialect.do_ping(opened)


@canary("sqlalchemy", "TypeEngine.__visit_name__ of integers; mysql.INTEGER.unsigned; Enum.enums", TABLE)
def test_types_of_columns() -> None:
    kinds = [mysql.TINYINT(), types.SmallInteger(), mysql.MEDIUMINT(), types.Integer(), types.BigInteger()]
    names = [kind.__visit_name__ for kind in (*kinds, types.SMALLINT(), types.INTEGER(), types.BIGINT())]
    assert names == ["TINYINT", "small_integer", "MEDIUMINT", "integer", "big_integer", "SMALLINT", "INTEGER", "BIGINT"]
    assert postgresql.BIGINT().__visit_name__ == "BIGINT"
    assert mysql.BIGINT(unsigned=True).unsigned is True
    assert sa.Enum("pending", "paid").enums == ["pending", "paid"]
