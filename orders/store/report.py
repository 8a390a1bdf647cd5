"""What operators ask about the orders table: counts, what is expected to expire, and pages of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from orders.store.conditions import Conditions
from orders.store.outcomes import Expected, Found, Outcome, State


@dataclass(frozen=True)
class Report(Conditions):
    """The statements that only read many rows of one orders table, for one kind of database."""

    def now(self, connection: sa.Connection) -> datetime:
        """Return the time of the clock that decides what is due, in UTC."""
        select = sa.select(sa.type_coerce(self._now, self.orders.deadline.type))
        return self._read_clock() or connection.execute(select).scalar_one()

    def count_pending(self, connection: sa.Connection, *, overdue: float | None) -> int:
        """Return how many rows all pages of `pending` have."""
        select = sa.select(sa.func.count()).select_from(self.orders.table).where(*self._is_overdue(overdue))
        return connection.execute(select).scalar_one()

    def count_before(self, connection: sa.Connection, deadline: datetime) -> int:
        """Return how many pending rows have an earlier deadline."""
        orders = self.orders
        earlier = orders.deadline < sa.literal(deadline, orders.deadline.type)
        counted = sa.select(sa.func.count()).select_from(orders.table).where(self._is_pending, earlier)
        return int(connection.execute(counted).scalar_one())

    def count_kept(self, connection: sa.Connection) -> int:
        """Return how many rows the shop's condition keeps from being expired."""
        if self.condition is None:
            return 0
        counted = sa.select(sa.func.count()).select_from(self.orders.table).where(*self._is_kept)
        return int(connection.execute(counted).scalar_one())

    def oldest_overdue(self, connection: sa.Connection) -> float | None:
        """Return for how many seconds the oldest pending row has been due; None if none is due."""
        orders = self.orders
        overdue = sa.select(self._seconds_since_deadline).where(*self._is_overdue(0.0))
        seconds = connection.execute(overdue.order_by(orders.deadline, orders.id).limit(1)).scalar()
        return None if seconds is None else float(seconds) - self.grace

    def expected(self, connection: sa.Connection, ends: Sequence[datetime]) -> Sequence[Expected]:
        """Return how many pending rows are due in each span of time; see `OrderStore.expected`."""
        # One range of the index per span, all in one statement, so that no row is counted twice.
        spans = [self._counted(number, *span) for number, span in enumerate(zip([None, *ends], ends, strict=False))]
        counted = sorted(tuple(row) for row in connection.execute(sa.union_all(*spans)))
        return [Expected(may_expire, number - may_expire) for _, number, may_expire in counted]

    def expired_rows(
        self, connection: sa.Connection, *, since: datetime, after: object, limit: int
    ) -> tuple[Sequence[Found], object]:
        """Return the expired ones of the next rows by id; see `OrderStore.expired_rows`."""
        orders, kind = self.orders, self.orders.id.type
        bounds = [] if after is None else [orders.id > sa.literal(after, kind)]
        # The end is looked up first, so that any database reads a range of the primary key and sorts nothing.
        ids = sa.select(orders.id).where(*bounds).order_by(orders.id).offset(limit - 1).limit(1)
        end = connection.execute(ids).scalar()
        if end is not None:
            bounds.append(orders.id <= sa.literal(end, kind))
        rows = sa.select(orders.id, orders.deadline).where(*bounds, *self._has_expired(since))
        found = connection.execute(rows).all()
        return [Found(orders.order_id(key), deadline, key, State.EXPIRED) for key, deadline in found], end

    def expired_among(self, connection: sa.Connection, keys: Sequence[Any], *, since: datetime) -> set[Any]:
        """Return those of these keys that are among all `expired_rows`."""
        select = sa.select(self.orders.id).where(self._among(keys), *self._has_expired(since))
        return set(map(self.orders.normal, connection.execute(select).scalars().all()))

    def due_rows(self, connection: sa.Connection, *, after: Found | None, limit: int) -> Sequence[Found]:
        """Return a page of rows that are pending and due, by deadline and id; see `OrderStore.due_rows`."""
        orders = self.orders
        page = sa.select(orders.id, orders.deadline, *self._judged(with_condition=True))
        page = page.where(self._is_pending, self._is_due).order_by(orders.deadline, orders.id).limit(limit)
        return self._found(connection, page if after is None else page.where(self._beside(after, is_behind=True)))

    def rows(self, connection: sa.Connection, keys: Sequence[Any]) -> dict[Any, Found]:
        """Return rows by key. Keys without a row are left out."""
        orders = self.orders
        select = sa.select(orders.id, orders.deadline, *self._judged(with_condition=True)).where(self._among(keys))
        return {orders.normal(found.key): found for found in self._found(connection, select)}

    def _found(self, connection: sa.Connection, select: sa.Select[Any]) -> Sequence[Found]:
        """Return the rows of a statement that selects id and deadline, and then `_judged`."""
        rows, clock, orders = connection.execute(select).all(), self._read_clock(), self.orders
        return [
            Found(orders.order_id(key), deadline, key, self._state(which, deadline, *(time or [clock])))
            for key, deadline, which, *time in rows
        ]

    def _counted(self, number: int, start: datetime | None, end: datetime) -> sa.Select[Any, int, int]:
        """Return the statement that counts the pending rows of a span, and those of them that may expire."""
        holds = sa.and_(sa.true(), *self._shops)
        counts = sa.func.count().label("pending"), sa.func.count(sa.case((holds, 1))).label("may_expire")
        select = sa.select(sa.literal_column(str(number), sa.Integer), *counts).select_from(self.orders.table)
        return select.where(self._is_pending, *self._is_within(start, end))

    def _has_expired(self, since: datetime) -> Sequence[sa.ColumnElement[bool]]:
        """Return the conditions that a row is expired, and its deadline not before *since*."""
        orders = self.orders
        return [orders.status == orders.expired, orders.deadline >= sa.literal(since, orders.deadline.type)]

    def _is_within(self, start: datetime | None, end: datetime) -> Sequence[sa.ColumnElement[bool]]:
        """Return the conditions that a row is due after *start*, at *end* at the latest."""
        deadline, grace = self.orders.deadline, timedelta(seconds=self.grace)
        after = [] if start is None else [deadline > sa.literal(start - grace, deadline.type)]
        return [*after, deadline <= sa.literal(end - grace, deadline.type)]

    def _judged(self, *, with_condition: bool) -> Sequence[sa.ColumnElement[Any]]:
        # The database compares the states, as in the updates, because it knows its padding and collations.
        orders = self.orders
        may_expire = sa.and_(self._is_pending, *(self._shops if with_condition else ()))
        paused = () if self.paused is None else ((sa.and_(may_expire, self.paused), Outcome.PAUSED.value),)
        which = sa.case(
            *paused,
            (may_expire, State.PENDING.value),
            (self._is_pending, State.KEPT.value),
            (orders.status == orders.paid, State.PAID.value),
            (orders.status == orders.expired, State.EXPIRED.value),
            else_=State.CLOSED.value,
        )
        return [which] if self.clock else [which, sa.type_coerce(self._now, orders.deadline.type)]

    def _state(self, which: str, deadline: datetime | None, now: datetime) -> State:
        is_overdue = deadline is not None and deadline + timedelta(seconds=self.grace) <= now
        if which in {State.PENDING, Outcome.PAUSED}:
            return State.OVERDUE if is_overdue else State.PENDING
        return State.PENDING if which == State.KEPT and not is_overdue else State(which)

    def _read_clock(self) -> datetime | None:
        return self.clock.now() if self.clock else None
