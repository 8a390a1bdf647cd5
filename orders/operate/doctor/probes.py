"""The statements that ask a database about itself, in each dialect."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ClauseElement, Executable

from orders.store import MYSQL, Tables

SAMPLE = 1000
"""Rows whose words are looked at."""

SHOWN = 10
"""The most words that are shown."""

_CLOCK = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
    "mysql": "SELECT unix_timestamp(sysdate(6)) + 0e0",
}

_READ_ONLY = {
    "postgresql": "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool",
    "mysql": "SELECT @@global.read_only",
    "sqlite": "SELECT 0",  # `orders.operate.doctor.rights` finds out
}

_CONNECTIONS = {
    "postgresql": """
        SELECT (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
               current_setting('max_connections')::int
    """,
    "mysql": "SELECT (SELECT count(*) FROM information_schema.processlist), @@global.max_connections",
}

_FORCED = {
    "postgresql": "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off",
}
"""Makes the planner use any suitable index. Otherwise it rightly reads a small table as a whole."""

_ROWS = {"postgresql": "SELECT reltuples FROM pg_class WHERE oid = CAST(:name AS regclass)"}
"""The planner's estimate of the number of rows; -1 before the first ANALYZE."""


class _Explain(Executable, ClauseElement):
    """``EXPLAIN`` of a statement."""

    inherit_cache = False

    def __init__(self, statement: sa.SelectBase) -> None:
        self.statement = statement


@compiles(_Explain)
def _compile(element: _Explain, compiler: Any, **options: Any) -> str:
    prefix = "EXPLAIN QUERY PLAN " if compiler.dialect.name == "sqlite" else "EXPLAIN "
    return prefix + str(compiler.process(element.statement, **options))


@dataclass(frozen=True, slots=True)
class Clock:
    """The difference of a database's clock from this host's."""

    ahead: float
    """How many seconds it is ahead."""
    uncertain: float
    """The possible error, in seconds."""


def clock(connection: sa.Connection, _: Tables) -> Clock | None:
    """Compare the clocks. Return None if the database has no clock of its own."""
    statement = _CLOCK.get(kind_of(connection))
    if statement is None:
        return None
    before = time.time()
    database_time = float(connection.execute(sa.text(statement)).scalar_one())
    after = time.time()
    return Clock(database_time - (before + after) / 2, (after - before) / 2)


def is_read_only(connection: sa.Connection, _: Tables) -> bool:
    """Return whether the database is read-only."""
    return bool(connection.execute(sa.text(_READ_ONLY[kind_of(connection)])).scalar_one())


def connections(connection: sa.Connection, _: Tables) -> tuple[int, int] | None:
    """Return the number of connections and their limit; None if there is no limit."""
    statement = _CONNECTIONS.get(kind_of(connection))
    if statement is None:
        return None
    used, limit = connection.execute(sa.text(statement)).one()
    return int(used), int(limit)


def words(connection: sa.Connection, tables: Tables) -> Sequence[str] | None:
    """Return some of the words in the status column if no row has one of those in the settings; None if one has."""
    orders = tables.orders.orders
    ours = sa.select(orders.status).where(orders.status.in_([orders.pending, orders.paid, orders.expired])).limit(1)
    if connection.execute(ours).first():
        return None
    some = sa.select(orders.status).where(orders.status.is_not(None)).limit(SAMPLE).subquery()
    found = connection.execute(sa.select(some.c[0]).distinct().limit(SHOWN)).scalars()
    return sorted(map(str, found))


@dataclass(frozen=True, slots=True)
class Sessions:
    """How a PostgreSQL gives us its sessions."""

    is_pooled: bool
    """Whether there is a pooler in between."""
    prepares_after: int | None
    """The number of uses after which psycopg prepares a statement; None for never."""
    isolation: str
    """The default isolation level."""


def sessions(connection: sa.Connection, _: Tables) -> Sessions | None:
    """Return how the database gives us its sessions. Return None if it is not PostgreSQL."""
    if kind_of(connection) != "postgresql":
        return None
    statement = "SELECT pg_backend_pid(), current_setting('default_transaction_isolation')"
    pid, isolation = connection.execute(sa.text(statement)).one()
    driver: Any = connection.connection.driver_connection
    # A pooler invents the number that a client is told when it connects, because it has no server then.
    return Sessions(driver.info.backend_pid != pid, getattr(driver, "prepare_threshold", None), isolation)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a database reads a page of overdue rows."""

    lines: Sequence[str]
    """The current plan."""
    forced: Sequence[str]
    """The plan if the planner must use an index and must not sort; only PostgreSQL can be forced."""
    rows: int
    """The estimated number of rows; 0 if unknown."""
    index: str
    """The statement that creates a suitable index."""


def plan(connection: sa.Connection, tables: Tables) -> Plan:
    """Return how the database reads a page of overdue rows."""
    kind, table = kind_of(connection), tables.orders.orders.table
    lines = forced = _explained(connection, tables)
    rows = 0
    if kind in _FORCED:
        name = connection.dialect.identifier_preparer.format_table(table)
        rows = int(connection.execute(sa.text(_ROWS[kind]), {"name": name}).scalar_one())
        for statement in _FORCED[kind].split(";"):
            connection.execute(sa.text(statement))
        forced = _explained(connection, tables)
    return Plan(lines, forced, max(rows, 0), tables.orders.orders.index(connection.dialect))


def _explained(connection: sa.Connection, tables: Tables) -> list[str]:
    page = tables.orders.page(overdue=10.0, after=None, limit=1000)
    # A plan has other columns than the page, so nothing must convert them from the page's types.
    untyped = [sa.type_coerce(column, sa.types.NullType()) for column in page.selected_columns]
    found = connection.execute(_Explain(page.with_only_columns(*untyped)))
    names = list(found.keys())
    if len(names) == 1:
        return [str(line).strip() for (line,) in found]
    if names[-1] == "detail":
        return [str(row[-1]) for row in found]
    return [", ".join(f"{name} {value}" for name, value in zip(names, row, strict=True)) for row in found]


def waiting_events(connection: sa.Connection, tables: Tables) -> tuple[int, float] | None:
    """Return how many events wait, at most 1,000, and for how many seconds the oldest; None without a table."""
    return None if tables.outbox is None else tables.outbox.waiting(connection, limit=1000)


def kind_of(connection: sa.Connection) -> str:
    """Return the kind of a database: "postgresql", "mysql" also for MariaDB, "sqlite"."""
    return "mysql" if connection.dialect.name in MYSQL else connection.dialect.name
