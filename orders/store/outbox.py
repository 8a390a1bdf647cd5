"""The outbox: all SQL statements on the events table.

An event is written in the transaction that changes its order, and delivered later: Chris Richardson's "transactional
outbox" (microservices.io). The events of one order are delivered in the order of their ids, because a transaction that
writes one holds the lock of the order's row, and because only the oldest undelivered event of an order can be claimed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.dialects import mysql, postgresql

from orders import ids
from orders.clock import Clock
from orders.config import Settings
from orders.events import Event, EventKind
from orders.store import sql_clock
from orders.store.engine import MYSQL
from orders.store.orders_table import UtcDateTime
from orders.store.outcomes import Postponed


@dataclass(frozen=True)
class Outbox:
    """The statements on the events table, for one kind of database."""

    settings: Settings
    dialect: str
    clock: Clock | None

    def exists(self, connection: sa.Connection) -> bool:
        """Return whether the database has the table."""
        return sa.inspect(connection).has_table(self.table.name, schema=self.table.schema)

    def record(
        self, connection: sa.Connection, order_ids: Sequence[str], kind: EventKind, data: Mapping[str, Any]
    ) -> None:
        """Write an event of the same kind for each order, in the transaction that changes the orders."""
        if not order_ids:
            return
        columns = self.table.c
        if self.dialect == "postgresql":
            connection.execute(self._insert, {"_order_ids": order_ids, "_kind": kind.value, "_data": dict(data)})
            return
        # MySQL's drivers send many rows at once only if VALUES contains nothing but parameters.
        select_now = sa.select(sa.type_coerce(self._now, columns.at.type))
        now = self.clock.now() if self.clock else connection.execute(select_now).scalar_one()
        insert = sa.insert(self.table).values(kind=kind.value, data=dict(data), at=now, try_at=now)
        connection.execute(insert, [{"order_id": order_id} for order_id in order_ids])

    def of_order(self, connection: sa.Connection, order_id: str, *, limit: int) -> Sequence[Event]:
        """Return the latest events of an order, oldest first."""
        columns = self.table.c
        latest = sa.select(self.table).where(columns.order_id == order_id).order_by(columns.id.desc()).limit(limit)
        return [_event(row) for row in reversed(connection.execute(latest).all()) if row.order_id == order_id]

    def has_refused(self, order_id: str) -> sa.ColumnElement[bool]:
        """Return the SQL condition that a payment for this order was refused before."""
        columns = self.table.c
        return sa.exists().where(columns.order_id == order_id, columns.kind == EventKind.LATE_PAYMENT)

    def payments(self, connection: sa.Connection, order_id: str) -> Sequence[Event]:
        """Return the payment events of an order, oldest first. The order's row must be locked."""
        columns = self.table.c
        kinds = [EventKind.PAID, EventKind.REVIVED, EventKind.LATE_PAYMENT]
        select = sa.select(self.table).where(columns.order_id == order_id, columns.kind.in_(kinds)).order_by(columns.id)
        if self.dialect in MYSQL:
            select = select.with_for_update(read=True)  # a plain SELECT reads the snapshot of the transaction's start
        return [_event(row) for row in connection.execute(select) if row.order_id == order_id]  # "a" is not "a "

    def add(self, connection: sa.Connection, event: Event, data: Mapping[str, Any]) -> None:
        """Add fields to the data of an event. The order's row must be locked."""
        self._update(connection, [event], data={**event.data, **data})

    def claim(self, connection: sa.Connection, *, limit: int, lease: float) -> Sequence[Event]:
        """Lease the oldest undelivered event of at most *limit* orders; until it ends, nobody else can claim these.

        Args:
            connection: in a transaction.
            limit: the most events to claim.
            lease: in seconds.
        """
        columns, earlier = self.table.c, self.table.alias("earlier")
        is_first = ~sa.exists().where(
            earlier.c.order_id == columns.order_id, earlier.c.id < columns.id, earlier.c.delivered_at.is_(None)
        )
        waiting = (
            sa.select(self.table)
            .where(columns.delivered_at.is_(None), columns.try_at <= self._now, is_first)
            .order_by(columns.try_at, columns.id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=self.table if self.dialect == "postgresql" else None)
        )
        events = sorted((_event(row) for row in connection.execute(waiting)), key=lambda event: event.id)
        if events:
            self._update(connection, events, try_at=self._from_now(lease))
        return events

    def delivered(self, connection: sa.Connection, events: Sequence[Event]) -> None:
        """Mark events as delivered."""
        if events:
            self._update(connection, events, delivered_at=self._now, error=None)

    def postpone(self, connection: sa.Connection, later: Postponed) -> None:
        """Release an event, to be claimed again later."""
        refusals = self.table.c.refusals + int(later.was_refused)
        self._update(
            connection, [later.event], try_at=self._from_now(later.seconds), error=later.error, refusals=refusals
        )

    def prune(self, connection: sa.Connection, *, older_than: float, keep_undelivered: bool, limit: int) -> int:
        """Delete the oldest events; return how many.

        Args:
            connection: in a transaction.
            older_than: the age in seconds from which events are deleted.
            keep_undelivered: keep events that were not delivered yet.
            limit: the most events to delete.
        """
        columns = self.table.c
        old = sa.select(columns.id).where(columns.at < self._from_now(-older_than)).order_by(columns.at).limit(limit)
        if keep_undelivered:
            old = old.where(columns.delivered_at.is_not(None))
        found = connection.execute(old).scalars().all()
        if found:
            connection.execute(sa.delete(self.table).where(columns.id.in_(found)))
        return len(found)

    def waiting(self, connection: sa.Connection, *, limit: int) -> tuple[int, float]:
        """Return how many events are undelivered, at most *limit*, and for how many seconds the oldest has been."""
        columns = self.table.c
        undelivered = sa.select(columns.at).where(columns.delivered_at.is_(None)).order_by(columns.try_at, columns.id)
        found = undelivered.limit(limit).subquery()
        ago = sql_clock.seconds_since(sa.func.min(found.c.at), self.dialect, self.clock, columns.at.type)
        number, seconds = connection.execute(sa.select(sa.func.count(), ago).select_from(found)).one()
        return int(number), max(float(seconds or 0.0), 0.0)

    @cached_property
    def table(self) -> sa.Table:
        """The table and its indexes, as ``orders init-db`` creates them."""
        schema, _, name = self.settings.events_table.rpartition(".")
        utc = UtcDateTime(timezone=self.dialect == "postgresql")
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
        if self.dialect in MYSQL:
            sa.Index(f"{name}_waiting", columns.delivered_at, columns.try_at, columns.id)
        else:
            sa.Index(f"{name}_waiting", columns.try_at, columns.id, postgresql_where=waiting, sqlite_where=waiting)
        return table

    @cached_property
    def _insert(self) -> sa.Insert:
        """The statement of `record` on PostgreSQL: one parameter for all orders; built once."""
        columns, now = self.table.c, self._now
        each = sa.func.unnest(sa.bindparam("_order_ids", type_=postgresql.ARRAY(types.Text())))
        same = [sa.bindparam(f"_{column.name}", type_=column.type) for column in (columns.kind, columns.data)]
        rows = sa.select(each, *same, now, now)
        return sa.insert(self.table).from_select(["order_id", "kind", "data", "at", "try_at"], rows)

    def _update(self, connection: sa.Connection, events: Sequence[Event], **values: Any) -> None:
        numbers = [event.id for event in events]
        connection.execute(sa.update(self.table).where(self.table.c.id.in_(numbers)).values(**values))

    @property
    def _now(self) -> sa.ColumnElement[datetime]:
        return self._from_now(0.0)

    def _from_now(self, seconds: float) -> sa.ColumnElement[datetime]:
        return sql_clock.from_now(seconds, self.dialect, self.clock, self.table.c.at.type)


def _order_id() -> types.TypeEngine[str]:
    # MySQL's default collations treat "a" and "A" as equal.
    return types.String(ids.MAX_LENGTH).with_variant(
        mysql.VARCHAR(ids.MAX_LENGTH, collation="utf8mb4_bin"), "mysql", "mariadb"
    )


def _event(row: sa.Row[Any]) -> Event:
    return Event(
        id=row.id,
        order_id=row.order_id,
        kind=EventKind(row.kind),
        at=row.at,
        data=row.data,
        delivered_at=row.delivered_at,
        refusals=row.refusals,
        error=row.error,
    )
