"""The identity of a database: a random id that it keeps in the events table, in a row that is no event.

It is the same through a pooler, a socket or another host name, and moves with the data: to a replica that takes over,
to another server, into a backup. The row counts as delivered and is never old, so no release delivers or prunes it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import sqlalchemy as sa

from orders.store.engine import MYSQL

KIND = "identity"

ROW = -1
"""The id of the row. It is fixed, so that only one of several processes that start together can write it."""

ORDER_ID = ""
"""No order has this id."""

NEVER = datetime(9000, 1, 1, tzinfo=UTC)
"""The time of rows that are no events."""

_NAMES = {"postgresql": sa.func.current_database(), "mysql": sa.func.database()}
"""The name of the database, as the server knows it. A file has none: its path may differ between containers."""


_SERVERS = {
    "postgresql": "SELECT system_identifier FROM pg_control_system()",
    "mysql": "SELECT concat(@@hostname, ':', @@port, @@datadir)",
    "sqlite": "SELECT file FROM pragma_database_list WHERE name = 'main'",
}
"""How a server knows itself: the same through a pooler, a socket or another host name."""


def read(connection: sa.Connection, events: sa.Table) -> str | None:
    """Return the id of the database; None if it has none yet."""
    data = connection.execute(sa.select(events.c.data).where(events.c.id == ROW)).scalar_one_or_none()
    return None if data is None else str(data["id"])


def write(connection: sa.Connection, events: sa.Table) -> None:
    """Give the database an id. If another process has done so, the database raises an IntegrityError."""
    moment = dict.fromkeys(("at", "try_at", "delivered_at"), NEVER)
    data = {"id": uuid4().hex}
    connection.execute(sa.insert(events).values(id=ROW, order_id=ORDER_ID, kind=KIND, data=data, **moment))


def describe(connection: sa.Connection, table: str) -> str:
    """Return a name for people: the table of the orders, and the database.

    Args:
        connection: a connection to the database.
        table: the name of the orders table, with or without its schema.
    """
    kind = "mysql" if connection.dialect.name in MYSQL else connection.dialect.name
    name = connection.execute(sa.select(_NAMES[kind])).scalar_one() if kind in _NAMES else None
    table = table.rpartition(".")[2]
    return f"table {table} of the {kind} database {name}" if name else f"table {table} of a {kind} database"


def place(connection: sa.Connection, table: str) -> str:
    """Return the name for people, and a fingerprint of the server, for a database that cannot keep an id.

    Args:
        connection: a connection to the database.
        table: the name of the orders table, with or without its schema.
    """
    kind = "mysql" if connection.dialect.name in MYSQL else connection.dialect.name
    server = str(connection.execute(sa.text(_SERVERS[kind])).scalar_one())
    if kind == "sqlite" and server:  # its path may differ between containers
        file = Path(server).stat()
        server = f"{file.st_dev}:{file.st_ino}"
    fingerprint = sha256(server.encode()).hexdigest()[:12]
    return f"{describe(connection, table)}, of the server {fingerprint}"
