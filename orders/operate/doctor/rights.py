"""The rights of the database user on our tables, and the statements that grant what is missing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from orders.operate.doctor.probes import kind_of
from orders.store import Tables

DENIED = {1142, 1143}
"""MySQL's error numbers for a table and for a column on which the user has not the right."""


_ALL: Mapping[str, Sequence[str]] = {"SELECT": [], "INSERT": [], "UPDATE": [], "DELETE": []}


@dataclass(frozen=True, slots=True)
class Missing:
    """Rights that the user lacks."""

    user: str
    grants: Sequence[str]
    """The statements that grant them."""


def missing_rights(connection: sa.Connection, tables: Tables) -> Missing | None:
    """Return which rights the database user lacks; None if it has all.

    SQLite has no users: it raises an error if its file may only be read. Its ``BEGIN IMMEDIATE`` does not.
    """
    match kind_of(connection):
        case "postgresql":
            user, denied = "CURRENT_USER", _denied_by_postgresql(connection, tables)
        case "mysql":
            user, denied = "CURRENT_USER()", _denied_by_mysql(connection, tables)
        case _:
            status = tables.orders.orders.status
            connection.execute(sa.update(tables.orders.orders.table).values({status: status}).where(sa.false()))
            return None
    if not denied:
        return None
    name = str(connection.execute(sa.text(f"SELECT {user}")).scalar_one())
    role = (
        "'{}'@'{}'".format(*name.rsplit("@", 1)) if "@" in name and user.endswith("()") else _quoted(connection, name)
    )
    return Missing(name, [f"GRANT {', '.join(rights)} ON {table} TO {role};" for table, rights in denied.items()])


def _needed(tables: Tables) -> Iterator[tuple[sa.FromClause, Mapping[str, Sequence[str]]]]:
    """Yield each table with the rights that we need, and the columns for which they are enough; none for all."""
    orders = tables.orders.orders
    ours = [orders.id.name, orders.status.name, orders.deadline.name]
    yield orders.table, {"SELECT": ours, "UPDATE": ours[1:]}
    if tables.outbox:
        yield tables.outbox.table, _ALL
    if tables.webhooks:
        yield tables.webhooks.table, _ALL


def _denied_by_postgresql(connection: sa.Connection, tables: Tables) -> dict[str, list[str]]:
    denied: dict[str, list[str]] = {}
    for table, rights in _needed(tables):
        name = _name(connection, table)
        for right, columns in rights.items():
            by_column = [sa.func.has_column_privilege(name, column, right) for column in columns]
            asked = sa.and_(*(by_column or [sa.func.has_table_privilege(name, right)]))
            if not connection.execute(sa.select(asked)).scalar_one():
                denied.setdefault(name, []).append(right)
    if tables.outbox and (sequence := _sequence(connection, _name(connection, tables.outbox.table))):
        denied[f"SEQUENCE {sequence}"] = ["USAGE"]
    return denied


def _sequence(connection: sa.Connection, table: str) -> str | None:
    """Return the sequence of the ids of events if the user may not use it. An identity column needs no right."""
    sequence = connection.execute(sa.select(sa.func.pg_get_serial_sequence(table, "id"))).scalar_one()
    is_identity = (
        "SELECT attidentity <> '' FROM pg_attribute WHERE attrelid = CAST(:name AS regclass) AND attname = 'id'"
    )
    if sequence is None or connection.execute(sa.text(is_identity), {"name": table}).scalar_one():
        return None
    may_use = connection.execute(sa.select(sa.func.has_sequence_privilege(sequence, "USAGE"))).scalar_one()
    return None if may_use else str(sequence)


def _denied_by_mysql(connection: sa.Connection, tables: Tables) -> dict[str, list[str]]:
    """Ask by EXPLAIN, which needs the rights of the statement: the tables of rights do not tell of roles."""
    denied: dict[str, list[str]] = {}
    for table, rights in _needed(tables):
        for right, columns in rights.items():
            if _is_denied(connection, _statement(table, right, columns)):
                denied.setdefault(_name(connection, table), []).append(right)
    return denied


def _statement(table: Any, right: str, columns: Sequence[str]) -> Any:
    """Return a statement that needs one right; UPDATE and DELETE need SELECT for a column that they read."""
    names = columns or [column.name for column in table.columns]
    match right:
        case "SELECT":
            return sa.select(*(table.c[name] for name in names))
        case "UPDATE":
            return sa.update(table).values(dict.fromkeys(names))
        case "INSERT":
            return sa.insert(table).values(dict.fromkeys(names))
        case _:
            return sa.delete(table)


def _is_denied(connection: sa.Connection, statement: Any) -> bool:
    try:
        connection.exec_driver_sql(f"EXPLAIN {statement.compile(connection, compile_kwargs={'literal_binds': True})}")
    except sa.exc.DBAPIError as error:
        if error.orig is None or error.orig.args[0] not in DENIED:
            raise
        return True
    return False


def _name(connection: sa.Connection, table: Any) -> str:
    return connection.dialect.identifier_preparer.format_table(table)


def _quoted(connection: sa.Connection, name: str) -> str:
    return connection.dialect.identifier_preparer.quote(name)
