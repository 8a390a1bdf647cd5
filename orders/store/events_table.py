"""The events table: its columns and indexes."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.dialects import mysql

from orders import ids
from orders.store.engine import MYSQL
from orders.store.orders_table import UtcDateTime


def build(qualified: str, dialect: str) -> sa.Table:
    """Return the table and its indexes, as ``orders init-db`` creates them.

    Args:
        qualified: its name, or schema.name.
        dialect: the kind of database.
    """
    schema, _, name = qualified.rpartition(".")
    utc = UtcDateTime(timezone=dialect == "postgresql")
    table = sa.Table(
        name,
        sa.MetaData(),
        sa.Column("id", types.BigInteger().with_variant(types.Integer(), "sqlite"), primary_key=True),
        sa.Column("order_id", _order_id(), nullable=False),
        sa.Column("kind", types.String(32), nullable=False),
        sa.Column("at", utc, nullable=False),
        sa.Column("data", types.JSON(), nullable=False),
        sa.Column("try_at", utc, nullable=False),
        sa.Column("refusals", types.Integer(), nullable=False, server_default="0"),
        sa.Column("delivered_at", utc),
        sa.Column("error", types.Text()),
        schema=schema or None,
        sqlite_autoincrement=True,  # ids are never reused, even after deletions
    )
    columns, waiting = table.c, table.c.delivered_at.is_(None)
    sa.Index(f"{name}_of_order", columns.order_id, columns.id)
    sa.Index(f"{name}_by_age", columns.at)
    if dialect in MYSQL:
        sa.Index(f"{name}_waiting", columns.delivered_at, columns.try_at, columns.id)
    else:
        sa.Index(f"{name}_waiting", columns.try_at, columns.id, postgresql_where=waiting, sqlite_where=waiting)
    return table


def _order_id() -> types.TypeEngine[str]:
    # MySQL's default collations treat "a" and "A" as equal.
    return types.String(ids.MAX_LENGTH).with_variant(
        mysql.VARCHAR(ids.MAX_LENGTH, collation="utf8mb4_bin"), "mysql", "mariadb"
    )
