"""The progress of webhooks: all SQL statements on the table beside the events table.

It has a row for each event and endpoint, and a row with the event id 0 for the endpoint itself. The row of an endpoint
holds since when it gets events (``at``), until when all events have rows of its (``delivered_at``), and until when it
rests (``try_at``), or that it is gone (``dead_at``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy import types
from sqlalchemy.dialects import mysql

from orders.store import identity, sql_clock
from orders.store.deliveries import Delivery, Progress, Rest, Unsent
from orders.store.engine import MYSQL
from orders.store.outbox import Outbox

ENDPOINT = 0
"""The event id of an endpoint's own row. No event has it: ids begin with 1, and rows that are no events are below 0."""

MAX_NAME = 64


@dataclass(frozen=True)
class Webhooks:
    """The statements on the table of webhooks, for one kind of database."""

    outbox: Outbox

    def fan_out(self, connection: sa.Connection, endpoint: str, *, look_back: float, limit: int) -> int:
        """Add deliveries of new events; see `Deliveries.fan_out`."""
        columns, events = self.table.c, self.outbox.table.c
        own = self._is(endpoint, [ENDPOINT])
        # The lock keeps another process from adding the same rows.
        row = connection.execute(sa.select(columns.at, columns.delivered_at).where(own).with_for_update()).first()
        now = self.outbox.read_clock(connection)
        if row is None:
            values = {"event_id": ENDPOINT, "endpoint": endpoint, "refusals": 0}
            connection.execute(sa.insert(self.table).values(at=now, try_at=now, delivered_at=now, **values))
            return 0
        since = max(row.at, row.delivered_at - timedelta(seconds=look_back))
        added = self._add(connection, endpoint, events.at >= sa.literal(since, events.at.type), limit=limit)
        if added < limit:
            until = max(now, row.delivered_at)
            connection.execute(sa.update(self.table).where(own).values(delivered_at=until))
        return added

    def claim(self, connection: sa.Connection, endpoint: str, *, limit: int, lease: float) -> Sequence[Delivery]:
        """Lease waiting deliveries; see `Deliveries.claim`."""
        columns, events = self.table.c, self.outbox.table
        is_awake = self._is(endpoint, [ENDPOINT]), columns.dead_at.is_(None), columns.try_at <= self.outbox.now
        if connection.execute(sa.select(columns.event_id).where(*is_awake)).first() is None:
            return []
        mine, other, earlier = events.alias("mine"), events.alias("other"), self.table.alias("earlier")
        # Subqueries of one value each, which no planner can turn into joins: with wrong statistics, these compare all
        # waiting deliveries with each other.
        order_id = sa.select(mine.c.order_id).where(mine.c.id == columns.event_id).correlate(self.table)
        waits = sa.case((sa.and_(earlier.c.delivered_at.is_(None), earlier.c.dead_at.is_(None)), 1))
        is_earlier = earlier.c.event_id == other.c.id, earlier.c.endpoint == endpoint
        blocked = sa.exists().where(
            other.c.order_id == order_id.scalar_subquery(),
            other.c.id < columns.event_id,
            sa.select(waits).where(*is_earlier).correlate(other).scalar_subquery() == 1,
        )
        waiting = (
            sa.select(columns.event_id, columns.refusals)
            .where(columns.endpoint == endpoint, *self._waits, columns.try_at <= self.outbox.now, ~blocked)
            .order_by(columns.try_at, columns.event_id)
            .limit(limit)
            .with_for_update(skip_locked=True, of=self.table if self.outbox.dialect == "postgresql" else None)
        )
        refusals: dict[int, int] = dict(map(tuple, connection.execute(waiting)))
        if not refusals:
            return []
        found = self.outbox.by_id(connection, list(refusals))
        prefix = f"evt_{(identity.read(connection, events) or '')[:12]}"
        if lost := refusals.keys() - {event.id for event in found}:  # somebody has deleted events
            connection.execute(sa.delete(self.table).where(self._is(endpoint, lost)))
        self._update(connection, endpoint, [event.id for event in found], try_at=self._from_now(lease))
        return [Delivery(event, f"{prefix}_{event.id}", refusals[event.id]) for event in found]

    def delivered(self, connection: sa.Connection, endpoint: str, event_ids: Sequence[int]) -> None:
        """Mark deliveries as made. An endpoint to which one was made has recovered."""
        if event_ids:
            self._update(connection, endpoint, event_ids, delivered_at=self.outbox.now, error=None)
            own = self._is(endpoint, [ENDPOINT]), self.table.c.refusals > 0
            connection.execute(sa.update(self.table).where(*own).values(refusals=0, error=None))

    def release(self, connection: sa.Connection, endpoint: str, unsent: Sequence[Unsent], rest: Rest | None) -> None:
        """Release deliveries, and have the endpoint rest."""
        waiting = [each.event_id for each in unsent if not each.error]
        if waiting:
            self._update(connection, endpoint, waiting, try_at=self.outbox.now)
        for each in unsent:
            if each.error:
                end = {"dead_at": self.outbox.now} if each.seconds is None else {"try_at": self._from_now(each.seconds)}
                counted = {"refusals": self.table.c.refusals + 1, "error": each.error}
                self._update(connection, endpoint, [each.event_id], **end, **counted)
        if rest is None:
            return
        own = self._is(endpoint, [ENDPOINT])
        refusals = connection.execute(sa.select(self.table.c.refusals).where(own).with_for_update()).scalar_one() + 1
        until = {"dead_at": self.outbox.now}
        if rest.seconds is not None:
            until = {"try_at": self._from_now(rest.seconds(refusals))}
        connection.execute(sa.update(self.table).where(own).values(refusals=refusals, error=rest.error, **until))

    def progress(self, connection: sa.Connection) -> Sequence[Progress]:
        """Return the progress of all endpoints; see `Deliveries.progress`."""
        columns, events = self.table.c, self.outbox.table.c
        rests = self._seconds_until(columns.try_at)
        own = sa.select(columns.endpoint, columns.error, rests, columns.dead_at).where(columns.event_id == ENDPOINT)
        is_dead = columns.dead_at.is_not(None)
        counts = (
            sa.func.count(sa.case((is_dead, 1))),
            sa.func.count(),
            sa.func.min(sa.case((~is_dead, columns.event_id))),
        )
        undelivered = sa.select(columns.endpoint, *counts).where(columns.delivered_at.is_(None))
        counted = {name: found for name, *found in connection.execute(undelivered.group_by(columns.endpoint))}
        progress = []
        for name, error, seconds, dead_at in connection.execute(own.order_by(columns.endpoint)).all():
            dead, number, oldest = counted.get(name, (0, 0, None))
            ago = -self._seconds_until(events.at)
            since = 0.0 if oldest is None else connection.execute(sa.select(ago).where(events.id == oldest)).scalar()
            why = error or (self._last_error(connection, name) if number else None)
            times = max(float(since or 0.0), 0.0), why, max(float(seconds), 0.0)
            progress.append(Progress(name, number - dead, dead, *times, is_gone=dead_at is not None))
        return progress

    def count_delivered(self, connection: sa.Connection) -> dict[str, int]:
        """Return how many deliveries were made; see `Deliveries.delivered`."""
        columns = self.table.c
        made = sa.select(columns.endpoint, sa.func.count()).where(columns.delivered_at.is_not(None))
        made = made.where(columns.event_id != ENDPOINT).group_by(columns.endpoint)
        return dict(map(tuple, connection.execute(made)))

    def replay(
        self, connection: sa.Connection, endpoint: str, *, since: datetime | None, event_id: int | None, dead: bool
    ) -> int:
        """Have an endpoint get events again; see `Deliveries.replay`."""
        columns, events = self.table.c, self.outbox.table.c
        chosen: list[sa.ColumnElement[bool]] = [columns.dead_at.is_not(None)] if dead else []
        if since is not None:
            is_since = events.at >= sa.literal(since, events.at.type)
            self._add(connection, endpoint, is_since)
            chosen.append(columns.event_id.in_(sa.select(events.id).where(is_since, events.id > ENDPOINT)))
        if event_id is not None:
            self._add(connection, endpoint, events.id == event_id)
            chosen.append(columns.event_id == event_id)
        anew = {"try_at": self.outbox.now, "refusals": 0, "dead_at": None, "error": None}
        again = sa.update(self.table).where(columns.endpoint == endpoint, columns.event_id > ENDPOINT, *chosen)
        replayed = connection.execute(again.values(delivered_at=None, **anew)).rowcount
        connection.execute(sa.update(self.table).where(self._is(endpoint, [ENDPOINT])).values(**anew))
        return replayed

    def awaited(self, connection: sa.Connection, endpoints: Sequence[str]) -> sa.ColumnElement[bool]:
        """Return the SQL condition that an event of the outbox waits for one of these endpoints that is not gone."""
        columns = self.table.c
        gone = sa.select(columns.endpoint).where(columns.event_id == ENDPOINT, columns.dead_at.is_not(None))
        names = set(endpoints) - set(connection.execute(gone).scalars())
        of_event = columns.event_id == self.outbox.table.c.id
        return sa.exists().where(of_event, columns.endpoint.in_(sorted(names)), *self._waits)

    def forget(self, connection: sa.Connection, event_ids: Sequence[int]) -> None:
        """Delete the deliveries of events that were deleted."""
        connection.execute(sa.delete(self.table).where(self.table.c.event_id.in_(event_ids)))

    @cached_property
    def table(self) -> sa.Table:
        """The table and its index, as ``orders init-db`` creates them."""
        events = self.outbox.table
        time = events.c.at.type
        table = sa.Table(
            f"{events.name}_webhooks",
            sa.MetaData(),
            sa.Column("event_id", types.BigInteger(), primary_key=True, autoincrement=False),
            sa.Column("endpoint", _name(), primary_key=True),
            sa.Column("at", time, nullable=False),
            sa.Column("try_at", time, nullable=False),
            sa.Column("refusals", types.Integer(), nullable=False, server_default="0"),
            sa.Column("delivered_at", time),
            sa.Column("dead_at", time),
            sa.Column("error", types.Text()),
            schema=events.schema,
        )
        columns, name = table.c, f"{events.name}_webhooks_waiting"
        indexed, is_open = (columns.dead_at, columns.try_at, columns.event_id), columns.delivered_at.is_(None)
        if self.outbox.dialect in MYSQL:
            sa.Index(name, columns.endpoint, columns.delivered_at, *indexed)
        else:
            sa.Index(name, columns.endpoint, *indexed, postgresql_where=is_open, sqlite_where=is_open)
        return table

    def _add(
        self, connection: sa.Connection, endpoint: str, condition: sa.ColumnElement[bool], *, limit: int | None = None
    ) -> int:
        """Add deliveries of the events that meet a condition and have none for this endpoint; return how many."""
        events, has_row = self.outbox.table.c, self.table.alias("known")
        is_known = sa.exists().where(has_row.c.event_id == events.id, has_row.c.endpoint == endpoint)
        name = sa.literal(endpoint, self.table.c.endpoint.type)
        new = sa.select(events.id, name, self.outbox.now, events.at).where(events.id > ENDPOINT, condition, ~is_known)
        columns = ["event_id", "endpoint", "at", "try_at"]
        insert = sa.insert(self.table).from_select(
            columns, new.order_by(events.at, events.id).limit(limit), include_defaults=False
        )
        return connection.execute(insert, execution_options={"preserve_rowcount": True}).rowcount

    @property
    def _waits(self) -> Sequence[sa.ColumnElement[bool]]:
        columns = self.table.c
        return columns.delivered_at.is_(None), columns.dead_at.is_(None)

    def _is(self, endpoint: str, event_ids: Any) -> sa.ColumnElement[bool]:
        return sa.and_(self.table.c.event_id.in_(list(event_ids)), self.table.c.endpoint == endpoint)

    def _update(self, connection: sa.Connection, endpoint: str, event_ids: Sequence[int], **values: Any) -> None:
        connection.execute(sa.update(self.table).where(self._is(endpoint, event_ids)).values(**values))

    def _last_error(self, connection: sa.Connection, endpoint: str) -> str | None:
        columns = self.table.c
        failed = sa.select(columns.error).where(columns.endpoint == endpoint, columns.delivered_at.is_(None))
        failed = failed.where(columns.error.is_not(None)).order_by(columns.event_id.desc()).limit(1)
        return connection.execute(failed).scalar()

    def _from_now(self, seconds: float) -> sa.ColumnElement[datetime]:
        return sql_clock.from_now(seconds, self.outbox.dialect, self.outbox.clock, self.table.c.try_at.type)

    def _seconds_until(self, time: sa.ColumnElement[datetime]) -> sa.ColumnElement[float]:
        return -sql_clock.seconds_since(time, self.outbox.dialect, self.outbox.clock, self.table.c.try_at.type)


def _name() -> types.TypeEngine[str]:
    # MySQL's default collations treat "a" and "A" as equal.
    return types.String(MAX_NAME).with_variant(mysql.VARCHAR(MAX_NAME, collation="utf8mb4_bin"), "mysql", "mariadb")
