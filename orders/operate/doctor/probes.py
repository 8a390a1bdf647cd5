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

_CLOCK = {
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::float8",
    "mysql": "SELECT unix_timestamp(sysdate(6)) + 0e0",
}

_READ_ONLY = {
    "postgresql": "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool",
    "mysql": "SELECT @@global.read_only",
    "sqlite": "SELECT 0",  # a read-only database would have failed to begin the write transaction
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

    def __init__(self, statement: sa.Select[Any]) -> None:
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
    statement = _CLOCK.get(_kind(connection))
    if statement is None:
        return None
    before = time.time()
    database_time = float(connection.execute(sa.text(statement)).scalar_one())
    after = time.time()
    return Clock(database_time - (before + after) / 2, (after - before) / 2)


def is_read_only(connection: sa.Connection, _: Tables) -> bool:
    """Return whether the database is read-only."""
    return bool(connection.execute(sa.text(_READ_ONLY[_kind(connection)])).scalar_one())


def connections(connection: sa.Connection, _: Tables) -> tuple[int, int] | None:
    """Return the number of connections and their limit; None if there is no limit."""
    statement = _CONNECTIONS.get(_kind(connection))
    if statement is None:
        return None
    used, limit = connection.execute(sa.text(statement)).one()
    return int(used), int(limit)


@dataclass(frozen=True, slots=True)
class Plan:
    """How a database reads a page of overdue rows."""

    lines: Sequence[str]
    """The current plan."""
    forced: Sequence[str]
    """The plan if the planner must use an index and must not sort; only PostgreSQL can be forced."""
    rows: int
    """The estimated number of rows; 0 if unknown."""


def plan(connection: sa.Connection, tables: Tables) -> Plan:
    """Return how the database reads a page of overdue rows."""
    kind, table = _kind(connection), tables.orders.orders.table
    lines = forced = _explained(connection, tables)
    rows = 0
    if kind in _FORCED:
        name = connection.dialect.identifier_preparer.format_table(table)
        rows = int(connection.execute(sa.text(_ROWS[kind]), {"name": name}).scalar_one())
        for statement in _FORCED[kind].split(";"):
            connection.execute(sa.text(statement))
        forced = _explained(connection, tables)
    return Plan(lines, forced, max(rows, 0))


def _explained(connection: sa.Connection, tables: Tables) -> list[str]:
    found = connection.execute(_Explain(tables.orders.page(overdue=10.0, after=None, limit=1000)))
    names = list(found.keys())
    if len(names) == 1:
        return [str(line).strip() for (line,) in found]
    if names[-1] == "detail":
        return [str(row[-1]) for row in found]
    return [", ".join(f"{name} {value}" for name, value in zip(names, row, strict=True)) for row in found]


def waiting_events(connection: sa.Connection, tables: Tables) -> tuple[int, float] | None:
    """Return how many events wait, at most 1,000, and for how many seconds the oldest; None without a table."""
    return None if tables.outbox is None else tables.outbox.waiting(connection, limit=1000)


def _kind(connection: sa.Connection) -> str:
    return "mysql" if connection.dialect.name in MYSQL else connection.dialect.name
