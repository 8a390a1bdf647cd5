"""All SQL statements on the orders table, and the race between payment and expiry.

Two of the statements compete for a pending order::

    UPDATE orders SET status = 'expired' WHERE id = … AND status = 'pending' AND expires_at <= now   -- expire_due
    UPDATE orders SET status = 'paid'    WHERE id = … AND status = 'pending'                         -- pay

The first one to lock the row wins. The other one waits for its commit, checks its ``WHERE`` again, finds that the row
is no longer pending, and changes nothing. Neither side reads first and writes later, so both cannot win. Each learns
from the rows it changed whether it won. *now* is the database's time when the statement runs (on SQLite, this host's),
less ``ORDERS_GRACE``. With ``ORDERS_STRICT``, a payment also needs a deadline that has not passed.

MySQL and MariaDB have no ``UPDATE … RETURNING``. There both sides first lock the row with ``SELECT … FOR UPDATE`` and
the same conditions.

If the shop has a condition of its own (``ORDERS_CONDITION``), the row must meet it too. It may read other tables, such
as payments, and a statement reads those as of its start. So `expire_due` first locks the rows: the update then sees all
that was committed before. Who adds to these tables must lock or change the order's row, or have a foreign key to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from orders.store.engine import MYSQL
from orders.store.outcomes import Outcome, Page, Pending, Row, State, Verdict
from orders.store.report import Report

KEYS = "_keys"
"""The name of the parameter with the ids; no column has this name."""

MISSING = Verdict(Outcome.MISSING, reason="the table has no such row")

UNCHANGED = "the row is pending, but the UPDATE did not change it: a trigger or a row-level security policy prevents it"


@dataclass(frozen=True)
class Statements(Report):
    """The statements on one orders table, for one kind of database."""

    def expire_due(self, connection: sa.Connection, keys: Sequence[Any]) -> dict[Any, float]:
        """Change rows that may expire (pending, due, and the shop's condition holds) to expired.

        Returns:
            The keys of the rows that were changed, and their lateness: seconds, by the clock that decides what is due.
        """
        orders, grace = self.orders, self.grace
        if self.condition:
            keys = self._lock_due(connection, keys)
        if self.dialect.update_returning:
            update = self._new_expire_update() if self.condition else self._expire_update
            changed = _changed(connection.execute(update, {KEYS: keys}))
        else:
            columns = [self._seconds_since_deadline]
            changed = self._change_locked(connection, keys, orders.expired, *self._may_expire, columns=columns)
        return {orders.normal(key): seconds - grace for key, *_, seconds in changed}

    @cached_property
    def _expire_update(self) -> sa.UpdateBase:
        """The update of `expire_due`, built once: building it takes half as long as the driver needs for 500 rows."""
        return self._new_expire_update()

    def _new_expire_update(self) -> sa.UpdateBase:
        orders = self.orders
        update = sa.update(orders.table).values({orders.status: orders.expired})
        update = update.where(self._among(KEYS), *self._may_expire)
        return update.returning(orders.id, self._is_pending, self._seconds_since_deadline)

    def _lock_due(self, connection: sa.Connection, keys: Sequence[Any]) -> Sequence[Any]:
        """Lock the rows that are pending and due; return their keys. A foreign key's check waits for this lock too."""
        orders = self.orders
        due = sa.select(orders.id).where(self._among(keys), self._is_pending, self._is_due).order_by(orders.id)
        return connection.execute(due.with_for_update()).scalars().all()

    def pay(
        self,
        connection: sa.Connection,
        keys: Sequence[Any],
        *,
        in_time: bool = False,
        only_if: sa.ColumnElement[bool] | None = None,
    ) -> set[Any]:
        """Change rows that are pending to paid; return the keys of those changed.

        Args:
            connection: in a transaction.
            keys: ids as the column holds them.
            in_time: change only rows whose deadline has not passed (``ORDERS_STRICT``).
            only_if: one more condition.
        """
        orders, conditions = self.orders, [self._is_pending]
        if in_time:
            conditions.append(sa.or_(orders.deadline.is_(None), sa.not_(self._is_due)))
        if only_if is not None:
            conditions.append(only_if)
        if self.dialect.update_returning:
            update = sa.update(orders.table).values({orders.status: orders.paid}).where(self._among(keys), *conditions)
            changed = _changed(connection.execute(update.returning(orders.id, self._is_pending)))
        else:
            changed = self._change_locked(connection, keys, orders.paid, *conditions)
        return {orders.normal(key) for key, *_ in changed}

    def revive(self, connection: sa.Connection, key: Any) -> None:
        """Change a row from expired to paid."""
        orders = self.orders
        connection.execute(
            sa.update(orders.table)
            .where(self._among([key]), orders.status == orders.expired)
            .values({orders.status: orders.paid})
        )

    def cancel(self, connection: sa.Connection, key: Any) -> bool:
        """Change a row from pending to cancelled; return whether it was pending."""
        return self._update_pending(connection, key, {self.orders.status: self.orders.cancelled()})

    def extend(self, connection: sa.Connection, key: Any, deadline: datetime) -> bool:
        """Give a pending row another deadline; return whether it was pending."""
        return self._update_pending(connection, key, {self.orders.deadline: deadline})

    def hold(self, connection: sa.Connection, key: Any, deadline: datetime) -> bool:
        """Give a pending row a later deadline, never an earlier one; return whether it was changed."""
        is_earlier = self.orders.deadline < sa.literal(deadline, self.orders.deadline.type)
        return self._update_pending(connection, key, {self.orders.deadline: deadline}, is_earlier)

    def lock(self, connection: sa.Connection, page: Page) -> Sequence[Pending]:
        """Lock a page of pending rows; return them."""
        orders = self.orders
        conditions = [orders.deadline < sa.literal(page.due_before, orders.deadline.type)]
        if page.due_from is not None:
            conditions.append(orders.deadline >= sa.literal(page.due_from, orders.deadline.type))
        if page.before is not None:
            conditions.append(self._beside(page.before, is_behind=False))
        select = sa.select(orders.id, orders.deadline).where(self._is_pending, *conditions).limit(page.limit)
        select = select.order_by(orders.deadline.desc(), orders.id.desc()).with_for_update()
        return [Pending(orders.order_id(key), found, key) for key, found in connection.execute(select)]

    def set_deadlines(self, connection: sa.Connection, deadlines: Mapping[Any, datetime]) -> None:
        """Give rows that are locked and pending other deadlines, by key. One statement, except on SQLite."""
        id_, deadline = self.orders.id, self.orders.deadline
        update = sa.update(self.orders.table)
        if self.dialect.name == "postgresql":
            keys = sa.func.unnest(sa.literal(list(deadlines), postgresql.ARRAY(id_.type))).label("key")
            given = sa.literal(list(deadlines.values()), postgresql.ARRAY(deadline.type))
            new = sa.select(keys, sa.func.unnest(given).label("deadline")).subquery()
            connection.execute(update.where(id_ == new.c.key).values({deadline: new.c.deadline}))
        elif self.dialect.name in MYSQL:
            new_deadline = sa.case({key: sa.literal(new, deadline.type) for key, new in deadlines.items()}, value=id_)
            connection.execute(update.where(id_.in_(list(deadlines))).values({deadline: new_deadline}))
        else:
            one = update.where(id_ == sa.bindparam(KEYS))
            one = one.values({deadline: sa.bindparam("_deadline", type_=deadline.type)})
            connection.execute(one, [{KEYS: key, "_deadline": new} for key, new in deadlines.items()])

    def _update_pending(
        self, connection: sa.Connection, key: Any, values: Mapping[Any, Any], *conditions: sa.ColumnElement[bool]
    ) -> bool:
        update = sa.update(self.orders.table).where(self._among([key]), self._is_pending, *conditions)
        return connection.execute(update.values(values)).rowcount > 0

    def row(self, connection: sa.Connection, key: Any, *, lock: bool = False) -> Row | None:
        """Return a row; None if there is none.

        Args:
            connection: in a transaction.
            key: the id as the column holds it.
            lock: lock the row until the end of the transaction, and read its latest committed version.
        """
        orders = self.orders
        # A payment locks the row. It must not fail because of the shop's condition, which decides about expiry only.
        judged = self._judged(with_condition=not lock)
        select = sa.select(orders.status, orders.deadline, *judged).where(self._among([key]))
        found = connection.execute(select.with_for_update() if lock else select).first()
        if found is None:
            return None
        status, deadline, which, *time = found
        return Row(str(status), deadline, self._state(which, deadline, *(time or [self._read_clock()])))

    def look(self, connection: sa.Connection, keys: Sequence[Any], *, may_be_due: bool) -> dict[Any, Verdict]:
        """Return a verdict for each row; change nothing.

        Args:
            connection: in a transaction.
            keys: ids as the column holds them.
            may_be_due: False after an update that did not change these rows. They were not due then, so they are
                NOT_DUE even if their deadline has passed since.
        """
        orders = self.orders
        judged = self._judged(with_condition=True)
        rows = connection.execute(sa.select(orders.id, orders.deadline, *judged).where(self._among(keys)))
        clock = self._read_clock()
        return {
            orders.normal(key): self._judge(which, deadline, *(time or [clock]), may_be_due=may_be_due)
            for key, deadline, which, *time in rows
        }

    def pending(
        self, connection: sa.Connection, *, overdue: float | None, after: Pending | None, limit: int
    ) -> Sequence[Pending]:
        """Return a page of pending rows; see `OrderStore.pending`."""
        rows = connection.execute(self.page(overdue=overdue, after=after, limit=limit)).all()
        return [Pending(self.orders.order_id(key), deadline, key) for key, deadline in rows]

    def page(self, *, overdue: float | None, after: Pending | None, limit: int) -> sa.Select[Any]:
        """Return the statement of `pending`."""
        orders = self.orders
        select = (
            sa.select(orders.id, orders.deadline)
            .where(*self._is_overdue(overdue))
            .order_by(orders.deadline, orders.id)
            .limit(limit)
        )
        return select if after is None else select.where(self._beside(after, is_behind=True))

    def lock_not_due(self, connection: sa.Connection, keys: Sequence[Any]) -> dict[Any, tuple[Verdict, datetime]]:
        """Lock the rows that are pending and whose deadline is to come; return a verdict and the deadline of each.

        KEPT or PAUSED if that would keep it from expiring now; else NOT_DUE.
        """
        orders, conditions = self.orders, (self._is_pending, self.orders.deadline > self._now)
        select = sa.select(orders.id, orders.deadline, *self._judged(with_condition=True))
        select = select.where(self._among(keys), *conditions).order_by(orders.id)
        rows, clock, found = connection.execute(select.with_for_update()).all(), self._read_clock(), {}
        for key, deadline, which, *time in rows:
            verdict = self._judge(which, deadline, *(time or [clock]), may_be_due=False)
            outcome = {State.KEPT: Outcome.KEPT, Outcome.PAUSED: Outcome.PAUSED}.get(which, verdict.outcome)
            found[orders.normal(key)] = verdict._replace(outcome=outcome), deadline
        return found

    def _change_locked(
        self,
        connection: sa.Connection,
        keys: Sequence[Any],
        status: object,
        *conditions: sa.ColumnElement[bool],
        columns: Sequence[sa.ColumnElement[Any]] = (),
    ) -> Sequence[Any]:
        """Change the status of rows that meet the conditions; return the keys of those changed, and *columns*.

        For MySQL, which has no ``UPDATE … RETURNING``: lock the rows first, with the same conditions.
        """
        orders = self.orders
        select = sa.select(orders.id, *columns).where(self._among(keys), *conditions).order_by(orders.id)
        locked = connection.execute(select.with_for_update()).all()
        if locked:
            update = sa.update(orders.table).values({orders.status: status})
            connection.execute(update.where(orders.id.in_([key for key, *_ in locked])))
        return locked

    def _judge(self, which: str, deadline: datetime | None, now: datetime, *, may_be_due: bool) -> Verdict:
        if which not in {State.PENDING, State.KEPT, Outcome.PAUSED}:
            return Verdict(Outcome.CLOSED)
        if deadline is None:
            return Verdict(Outcome.INVALID, reason=f"the row is pending, but its {self.orders.deadline.name} is NULL")
        due = deadline + timedelta(seconds=self.grace)
        wait = (due - now).total_seconds()
        if which == State.KEPT and wait <= 0:
            return Verdict(Outcome.KEPT, due=due.timestamp(), wait=wait, reason="the shop's condition keeps it")
        if which == Outcome.PAUSED and wait <= 0:
            return Verdict(Outcome.PAUSED, due=due.timestamp(), wait=wait)
        return Verdict(Outcome.DUE if may_be_due and wait <= 0 else Outcome.NOT_DUE, due=due.timestamp(), wait=wait)


def _changed(result: sa.Result[Any, Any]) -> Sequence[Any]:
    """Return the rows of ``RETURNING id, is_pending, …`` that are no longer pending.

    A trigger may have restored the status.
    """
    return [row for row in result.all() if not row[1]]
