"""The outbox: all SQL statements on the events table.

An event is written in the transaction that changes its order, and delivered later: Chris Richardson's "transactional
outbox" (microservices.io). The events of one order are delivered in the order of their ids, because a transaction that
writes one holds the lock of the order's row, and because only the oldest undelivered event of an order can be claimed.
"""

from __future__ import annotations

import json
import operator
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.dialects import postgresql

from orders.clock import Clock
from orders.config import Settings
from orders.events import Event, EventKind
from orders.store import events_table, sql_clock
from orders.store.engine import MYSQL
from orders.store.outcomes import Postponed

CLOSING = (EventKind.EXPIRED, EventKind.CANCELLED)
"""Events with which a shop gives back what it had reserved."""


@dataclass(frozen=True)
class Outbox:
    """The statements on the events table, for one kind of database."""

    settings: Settings
    dialect: str
    clock: Clock | None

    def record(
        self, connection: sa.Connection, kind: EventKind, pairs: Sequence[tuple[str, Mapping[str, Any]]]
    ) -> None:
        """Write an event for each order, of the same kind and with its own data, in the transaction of the change."""
        if not pairs:
            return
        if self.dialect == "postgresql":
            order_ids, details = zip(*pairs, strict=True)
            values = {"_order_ids": list(order_ids), "_kind": kind.value, "_each": list(map(json.dumps, details))}
            connection.execute(self._insert, values)
            return
        # MySQL's drivers send many rows at once only if VALUES contains nothing but parameters.
        now = self.read_clock(connection)
        insert = sa.insert(self.table).values(kind=kind.value, at=now, try_at=now)
        connection.execute(insert, [{"order_id": order_id, "data": data} for order_id, data in pairs])

    def record_closed(
        self, connection: sa.Connection, order_ids: Sequence[str], kind: EventKind, data: dict[str, Any]
    ) -> Sequence[str]:
        """Write an event for each order that is now expired or cancelled; return those that were so before.

        Their events have "again" in their data. The orders' rows must be locked by an earlier statement, so that this
        one sees all events of these orders.
        """
        again = {**data, "again": True}
        if self.dialect == "postgresql":
            values = {"_order_ids": order_ids, "_kind": kind.value, "_data": data, "_again": again}
            before = set(connection.execute(self._insert_closed, values).scalars())
        else:
            before = set(connection.execute(self._closed_before(order_ids)).scalars())  # "a" is not "a "
            self.record(connection, kind, [(each, again if each in before else data) for each in order_ids])
        return [order_id for order_id in order_ids if order_id in before]

    def of_order(self, connection: sa.Connection, order_id: str, *, limit: int) -> Sequence[Event]:
        """Return the latest events of an order, oldest first."""
        columns = self.table.c
        latest = sa.select(self.table).where(columns.order_id == order_id).order_by(columns.id.desc()).limit(limit)
        return [_event(row) for row in reversed(connection.execute(latest).all()) if row.order_id == order_id]

    def by_id(self, connection: sa.Connection, event_ids: Sequence[int]) -> Sequence[Event]:
        """Return events, oldest first. Those that do not exist are left out."""
        columns = self.table.c
        found = connection.execute(sa.select(self.table).where(columns.id.in_(event_ids)).order_by(columns.id))
        return [_event(row) for row in found]

    def has_refused(self, order_id: str) -> sa.ColumnElement[bool]:
        """Return the SQL condition that a payment for this order was refused before."""
        columns = self.table.c
        return sa.exists().where(columns.order_id == order_id, columns.kind == EventKind.LATE_PAYMENT)

    def reminders(
        self, connection: sa.Connection, order_ids: Sequence[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        """Return the data of all reminders of these orders. The orders' rows must be locked."""
        columns, found = self.table.c, defaultdict[str, list[Mapping[str, Any]]](list)
        select = sa.select(columns.order_id, columns.data).where(self._is_of(order_ids))
        for order_id, data in connection.execute(select.where(columns.kind == EventKind.REMINDER)):
            found[order_id].append(data)
        return found

    def payments(self, connection: sa.Connection, order_id: str) -> Sequence[Event]:
        """Return the payment events of an order, oldest first. The order's row must be locked."""
        columns = self.table.c
        kinds = [EventKind.PAID, EventKind.REVIVED, EventKind.LATE_PAYMENT]
        select = sa.select(self.table).where(columns.order_id == order_id, columns.kind.in_(kinds)).order_by(columns.id)
        if self.dialect in MYSQL:
            select = select.with_for_update(read=True)  # a plain SELECT reads the snapshot of the transaction's start
        return [_event(row) for row in connection.execute(select) if row.order_id == order_id]  # "a" is not "a "

    def expiries(
        self, connection: sa.Connection, *, since: datetime, after: int | None, limit: int
    ) -> Sequence[tuple[int, str]]:
        """Return a page of the expiries since some time; see `OrderStore.expiries`."""
        columns = self.table.c
        if after is None:
            first = sa.select(columns.id).where(columns.at >= since).order_by(columns.at, columns.id).limit(1)
            after = (connection.execute(first).scalar() or 1) - 1
        page = sa.select(columns.id, columns.order_id).where(columns.id > after, columns.kind == EventKind.EXPIRED)
        return [
            (number, order_id) for number, order_id in connection.execute(page.order_by(columns.id).limit(limit)).all()
        ]

    def histories(self, connection: sa.Connection, order_ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        """Return the expiries and the accepted payments of orders, oldest first."""
        columns, found = self.table.c, defaultdict[str, list[Event]](list)
        kinds = {kind.value: kind for kind in (EventKind.EXPIRED, EventKind.PAID, EventKind.REVIVED)}
        select = sa.select(columns.id, columns.order_id, columns.kind, columns.at)
        select = select.where(self._is_of(order_ids), columns.kind.in_(kinds))
        for number, order_id, kind, at in sorted(connection.execute(select).all(), key=operator.itemgetter(0)):
            found[order_id].append(Event(number, order_id, kinds[kind], at))
        return found

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
            .where(columns.delivered_at.is_(None), columns.try_at <= self.now, is_first)
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
            self._update(connection, events, delivered_at=self.now, error=None)

    def postpone(self, connection: sa.Connection, later: Postponed) -> None:
        """Release an event, to be claimed again later."""
        refusals = self.table.c.refusals + int(later.was_refused)
        self._update(
            connection, [later.event], try_at=self._from_now(later.seconds), error=later.error, refusals=refusals
        )

    def prune(
        self, connection: sa.Connection, *conditions: sa.ColumnElement[bool], older_than: float, limit: int
    ) -> Sequence[int]:
        """Delete the oldest events; return their ids.

        Args:
            connection: in a transaction.
            conditions: which events may be deleted.
            older_than: the age in seconds from which events are deleted.
            limit: the most events to delete.
        """
        columns = self.table.c
        old = sa.select(columns.id).where(columns.at < self._from_now(-older_than), *conditions)
        found = connection.execute(old.order_by(columns.at).limit(limit)).scalars().all()
        if found:
            connection.execute(sa.delete(self.table).where(columns.id.in_(found)))
        return found

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
        return events_table.build(self.settings.events_table, self.dialect)

    @cached_property
    def _insert_closed(self) -> sa.Select[Any]:
        """The statement of `record_closed` on PostgreSQL: it reads the earlier events and writes the new ones."""
        json, given = self.table.c.data.type, sa.bindparam("_order_ids", type_=postgresql.ARRAY(types.Text()))
        before = self._closed_before(given).cte("before")
        order_id = sa.func.unnest(given).column_valued("order_id")
        is_again = order_id.in_(sa.select(before.c.order_id))
        data = sa.case((is_again, sa.bindparam("_again", type_=json)), else_=sa.bindparam("_data", type_=json))
        return sa.select(before.c.order_id).add_cte(self._insert_with(order_id, data).cte("recorded"))

    @cached_property
    def _insert(self) -> sa.Insert:
        """The statement of `record` on PostgreSQL: one parameter for all orders, and one for all data; built once."""
        array = postgresql.ARRAY(types.Text())
        order_id, data = (sa.func.unnest(sa.bindparam(name, type_=array)) for name in ("_order_ids", "_each"))
        return self._insert_with(order_id, sa.cast(data, self.table.c.data.type))

    def _insert_with(self, order_id: sa.ColumnElement[str], data: sa.ColumnElement[Any]) -> sa.Insert:
        now, kind = self.now, sa.bindparam("_kind", type_=self.table.c.kind.type)
        rows = sa.select(order_id, kind, data, now, now)
        return sa.insert(self.table).from_select(["order_id", "kind", "data", "at", "try_at"], rows)

    def _closed_before(self, order_ids: Sequence[str] | sa.BindParameter[Any]) -> sa.Select[Any]:
        """Return the statement that selects those of these orders that were expired or cancelled."""
        columns = self.table.c
        return sa.select(columns.order_id).where(self._is_of(order_ids), columns.kind.in_(CLOSING))

    def _is_of(self, order_ids: Sequence[str] | sa.BindParameter[Any]) -> sa.ColumnElement[bool]:
        """Return the condition that an event is of one of these orders, or of one whose id differs only in padding."""
        column = self.table.c.order_id
        if self.dialect != "postgresql":
            return column.in_(order_ids)
        array = postgresql.ARRAY(types.Text())
        given = order_ids if isinstance(order_ids, sa.BindParameter) else sa.literal(order_ids, array)
        # Without statistics, as before the first autovacuum, PostgreSQL assumes few different orders, and would read
        # the whole table. The range says the same again, and makes it use the index.
        one = sa.func.unnest(given).column_valued("one")
        lowest, highest = (sa.select(end(one)).scalar_subquery() for end in (sa.func.min, sa.func.max))
        return sa.and_(column == sa.any_(given), column.between(lowest, highest))

    def _update(self, connection: sa.Connection, events: Sequence[Event], **values: Any) -> None:
        numbers = [event.id for event in events]
        connection.execute(sa.update(self.table).where(self.table.c.id.in_(numbers)).values(**values))

    @property
    def now(self) -> sa.ColumnElement[datetime]:
        """The time at which a statement runs."""
        return self._from_now(0.0)

    def read_clock(self, connection: sa.Connection) -> datetime:
        """Return the time."""
        select = sa.select(sa.type_coerce(self.now, self.table.c.at.type))
        return self.clock.now() if self.clock else connection.execute(select).scalar_one()

    def _from_now(self, seconds: float) -> sa.ColumnElement[datetime]:
        return sql_clock.from_now(seconds, self.dialect, self.clock, self.table.c.at.type)


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
