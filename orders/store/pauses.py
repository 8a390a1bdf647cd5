"""The pause: a row of the events table that is no event, like the identity of a database (`orders.store.identity`).

The update that expires orders asks for this row in its own ``WHERE``. So nothing expires while there is a pause, on
whichever road it comes, and even if Redis has lost its copy. The end of the pause is in a column of its own, because
the database's clock decides when it is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orders.errors import InvalidDeadline, SchemaError
from orders.store.identity import NEVER, ORDER_ID
from orders.store.outbox import Outbox
from orders.store.outcomes import Pause, Window

if TYPE_CHECKING:
    from orders.store.unit_of_work import UnitOfWork

KIND = "pause"

ROW = -2
"""The id of the row. It is fixed, so that there is at most one pause."""


def is_paused(outbox: Outbox) -> sa.ColumnElement[bool]:
    """Return the SQL condition that the schedule is paused."""
    columns = outbox.table.c
    return sa.exists().where(columns.id == ROW, columns.try_at > outbox.now)


class SqlPauses:
    """The pause of one database. Each method is one transaction.

    Args:
        begin: begins a transaction, as `orders.store.SqlStore` does.
    """

    def __init__(self, begin: Callable[..., AbstractContextManager[UnitOfWork]]) -> None:
        self._begin = begin

    def current(self) -> Pause | None:
        """Return the pause; None if the schedule is not paused."""
        with self._begin(reading=True) as unit:
            outbox = unit.tables.outbox
            found = outbox and _read(unit.connection, outbox)
            return _pause(*found) if found else None

    def last(self) -> Pause | None:
        """Return the pause, or the one before if it is over; None if none is known."""
        with self._begin(reading=True) as unit:
            outbox = unit.tables.outbox
            found = outbox and _read(unit.connection, outbox, is_over=True)
            return _pause(*found) if found else None

    def start(
        self,
        until: datetime | timedelta | None,
        *,
        by: str | None,
        reason: str | None,
        since: datetime | None = None,
    ) -> Pause:
        """Pause the schedule; see `Pauses.start`."""
        with self._begin() as unit:
            outbox = unit.tables.outbox
            if outbox is None:
                raise SchemaError(
                    "the database has no events table, which holds the pause: create it with `orders init-db` and "
                    "restart all processes"
                )
            now, before = outbox.read_clock(unit.connection), _read(unit.connection, outbox, lock=True)
            begun = before[0]["since"] if before else (since or now).isoformat()
            window = {name: before[0].get(name) for name in ("start", "end")} if before else {"start": begun}
            data, ends = {"since": begun, "by": by, "reason": reason, **window}, _end(now, until)
            _write(unit.connection, outbox, data, ends)
            return _pause(data, ends)

    def end(self) -> Pause | None:
        """End the pause; return it, None if the schedule was not paused. Its row stays, so that it counts as over."""
        with self._begin() as unit:
            outbox = unit.tables.outbox
            found = outbox and _read(unit.connection, outbox, lock=True)
            if outbox is None or not found:
                return None
            _write(unit.connection, outbox, found[0], outbox.read_clock(unit.connection))
            return _pause(*found)

    def open_window(self) -> Window | None:
        """Return the part of the pause whose orders are to be extended next; see `Pauses.open_window`."""
        with self._begin() as unit:
            outbox = unit.tables.outbox
            found = outbox and _read(unit.connection, outbox, lock=True)
            if outbox is None or not found:
                return None
            data, ends = found
            is_left = bool(data.get("end"))
            end = datetime.fromisoformat(data["end"]) if is_left else outbox.read_clock(unit.connection)
            _write(unit.connection, outbox, {**data, "end": end.isoformat()}, ends)
            return Window(datetime.fromisoformat(data["start"]), end, is_left)

    def close_window(self, window: Window) -> None:
        """Note that the orders of this part were extended."""
        with self._begin() as unit:
            outbox = unit.tables.outbox
            found = outbox and _read(unit.connection, outbox, lock=True)
            if outbox and found and found[0].get("end") == window.end.isoformat():
                _write(unit.connection, outbox, {**found[0], "start": window.end.isoformat(), "end": None}, found[1])


def _read(
    connection: sa.Connection, outbox: Outbox, *, lock: bool = False, is_over: bool = False
) -> tuple[Mapping[str, Any], datetime] | None:
    columns = outbox.table.c
    select = sa.select(columns.data, columns.try_at).where(columns.id == ROW)
    select = select if is_over else select.where(columns.try_at > outbox.now)
    found = connection.execute(select.with_for_update() if lock else select).first()
    return (found.data, found.try_at) if found else None


def _write(connection: sa.Connection, outbox: Outbox, data: Mapping[str, Any], ends: datetime) -> None:
    table = outbox.table
    update = sa.update(table).where(table.c.id == ROW).values(data=data, try_at=ends)
    if not connection.execute(update).rowcount:
        # It counts as delivered and is never old, so no release delivers or prunes it.
        values = {"kind": KIND, "at": NEVER, "try_at": ends, "delivered_at": NEVER}
        connection.execute(sa.insert(table).values(id=ROW, order_id=ORDER_ID, data=data, **values))


def _pause(data: Mapping[str, Any], ends: datetime) -> Pause:
    until = None if ends >= NEVER else ends
    return Pause(datetime.fromisoformat(data["since"]), until, data.get("by"), data.get("reason"))


def _end(now: datetime, until: datetime | timedelta | None) -> datetime:
    if until is None:
        return NEVER
    try:
        ends = now + until if isinstance(until, timedelta) else until
        if now < ends < NEVER:
            return ends
    except OverflowError:
        pass
    raise InvalidDeadline(
        f"the pause would end at {until}, and it is {now.isoformat()}: it must end later, before the year 9000"
    )
