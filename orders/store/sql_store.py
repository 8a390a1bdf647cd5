"""The `orders.store.OrderStore` on SQLAlchemy: each method is one transaction, including hooks and events."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orders.clock import Clock
from orders.errors import SchemaError
from orders.events import Event
from orders.hooks import Hooks
from orders.store import conditions, orders_table
from orders.store.conditions import ShopsCondition, ToExpression
from orders.store.inspection import Inspection
from orders.store.orders_table import OrdersTable
from orders.store.outbox import Outbox
from orders.store.outcomes import Page, Payment, Pending, Postponed, Row, Verdict
from orders.store.pauses import SqlPauses, is_paused
from orders.store.port import Joined, Transactions
from orders.store.reminders import remind
from orders.store.sql_clock import deciding_clock
from orders.store.sql_deliveries import SqlDeliveries
from orders.store.sql_errors import TableAltered
from orders.store.statements import Statements
from orders.store.transactions import SqlTransactions
from orders.store.unit_of_work import Tables, UnitOfWork
from orders.store.webhooks import Webhooks

if TYPE_CHECKING:
    from orders.config import Settings


class SqlStore(Inspection):
    """Any orders table in PostgreSQL, MySQL, MariaDB or SQLite.

    No driver is imported and nothing is sent before the first call, so a web app that only enqueues needs no driver.

    Args:
        settings: the database, the names of the table and its columns, and the shop's values for the states.
        hooks: the shop's hooks, which run in the same transaction.
        engine: the application's engine, to use instead of one for ``ORDERS_DATABASE_URL``.
        transactions: a framework's transactions, instead of SQLAlchemy's.
        to_python: converts an id from the id column to the type that hooks expect.
        to_expression: calls ``@orders.condition``, and converts what it returns to an expression on our table.
        clock: decides what is due. By default the database's clock, so that a worker with a wrong clock closes no order
            early. SQLite has no clock, so this host's is used.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hooks: Hooks | None = None,
        engine: sa.Engine | None = None,
        transactions: Transactions | None = None,
        to_python: Callable[[Any], Any] = lambda key: key,
        to_expression: ToExpression = conditions.of_hook,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._hooks = hooks or Hooks()
        self._clock = clock
        self._to_python = to_python
        self._to_expression = to_expression
        self.transactions = transactions or SqlTransactions(settings.database_url, engine)
        self.pauses = SqlPauses(self._begin)
        self.deliveries = SqlDeliveries(self._begin)
        self._known: dict[Hashable, Tables] = {}
        self._tried: set[Hashable] = set()

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire the orders that are pending and due, by one conditional update; return a verdict for each id."""
        with self._begin(judging=True) as unit:
            return unit.expire(order_ids)

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Return a verdict for each id; change nothing."""
        with self._begin(reading=True, judging=True) as unit:
            return unit.look(order_ids)

    def remind(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Record the reminders of orders whose time has come; see `OrderStore.remind`."""
        with self._begin(judging=True) as unit:
            return remind(unit, order_ids)

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark the pending orders as paid, because the guard says so; return a verdict for each id."""
        with self._begin() as unit:
            return unit.settle_paid(order_ids)

    def pay(self, order_id: str, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending; see `OrderStore.pay`."""
        with self._begin(session, judging=self._settings.strict) as unit:
            return unit.pay(order_id, reference)

    def extend(self, order_id: str, deadline: datetime, *, session: Joined | None = None) -> str | None:
        """Give a pending order another deadline; see `OrderStore.extend`."""
        with self._begin(session) as unit:
            return unit.extend(order_id, deadline)

    def hold(self, order_id: str, deadline: datetime, *, by: str, session: Joined | None = None) -> Pending | None:
        """Give a pending order a later deadline, never an earlier one; see `OrderStore.hold`."""
        with self._begin(session) as unit:
            return unit.hold(order_id, deadline, by)

    def extend_page(
        self, later: Callable[[Pending], datetime], page: Page, *, by: str
    ) -> Sequence[tuple[Pending, datetime]]:
        """Give a page of pending orders later deadlines; see `OrderStore.extend_page`."""
        with self._begin() as unit:
            return unit.extend_page(later, page, by)

    def cancel(self, order_id: str, *, reason: str, session: Joined | None = None) -> str | None:
        """Cancel an order if it is pending; see `OrderStore.cancel`."""
        with self._begin(session) as unit:
            return unit.cancel(order_id, reason)

    def row(self, order_id: str) -> Row | None:
        """Return an order's row; None if there is none.

        Raises:
            InvalidOrderId: the id column cannot hold this id.
        """
        with self._begin(reading=True, judging=True) as unit:
            key = unit.key(order_id)
            return unit.tables.orders.row(unit.connection, key)

    def pending(self, *, overdue: float | None, after: Pending | None, limit: int) -> Sequence[Pending]:
        """Return a page of pending rows; see `OrderStore.pending`."""
        with self._begin(reading=True, judging=True) as unit:
            return unit.tables.orders.pending(unit.connection, overdue=overdue, after=after, limit=limit)

    def events(self, order_id: str, *, limit: int) -> Sequence[Event]:
        """Return the latest events of an order, oldest first; none if there is no events table.

        Raises:
            InvalidOrderId: the id column cannot hold this id.
        """
        with self._begin(reading=True) as unit:
            key = unit.key(order_id)
            order_id = unit.tables.order_id(key)
            return unit.tables.outbox.of_order(unit.connection, order_id, limit=limit) if unit.tables.outbox else []

    def claim_events(self, *, limit: int, lease: float) -> Sequence[Event]:
        """Lease the oldest undelivered event of at most *limit* orders, for *lease* seconds."""
        with self._begin() as unit:
            return unit.tables.outbox.claim(unit.connection, limit=limit, lease=lease) if unit.tables.outbox else []

    def settle_events(self, delivered: Sequence[Event], postponed: Sequence[Postponed]) -> None:
        """Mark events as delivered and, in another transaction, release others to be claimed again later."""
        with self._begin() as unit:
            if unit.tables.outbox:
                unit.tables.outbox.delivered(unit.connection, delivered)
        with self._begin() as unit:
            for later in postponed:
                if unit.tables.outbox:
                    unit.tables.outbox.postpone(unit.connection, later)

    def prune_events(self, *, older_than: float, keep_undelivered: bool, keep_for: Sequence[str], limit: int) -> int:
        """Delete old events and their deliveries; see `OrderStore.prune_events`."""
        with self._begin() as unit:
            outbox, webhooks, conditions = unit.tables.outbox, unit.tables.webhooks, list[sa.ColumnElement[bool]]()
            if outbox is None:
                return 0
            if keep_undelivered:
                conditions.append(outbox.table.c.delivered_at.is_not(None))
            if webhooks and keep_for:
                conditions.append(~webhooks.awaited(unit.connection, keep_for))
            pruned = outbox.prune(unit.connection, *conditions, older_than=older_than, limit=limit)
            if webhooks and pruned:
                webhooks.forget(unit.connection, pruned)
            return len(pruned)

    def insert(self, order_id: str, deadline: datetime) -> None:
        """Insert a pending order with nothing but an id and a deadline, for a try. A shop places its own orders.

        Raises:
            InvalidOrderId: the id column cannot hold this id.
            StoreError: there is such an order, or the table needs more columns.
        """
        with self._begin() as unit:
            orders = unit.tables.orders.orders
            values = {orders.id: unit.key(order_id), orders.status: orders.pending, orders.deadline: deadline}
            unit.connection.execute(sa.insert(orders.table).values(values))

    def create_table(self, id_type: orders_table.IdType) -> bool:
        """Create the default table and its index; return whether it was missing."""
        with self.transactions.begin() as connection:
            return orders_table.create(
                connection, orders_table.default(self._settings, id_type, connection.dialect.name)
            )

    def create_outbox(self) -> bool:
        """Create the tables of events and of webhooks; return whether that of events was missing.

        Running processes use them after a restart.
        """
        self.create_webhooks()
        with self.transactions.begin() as connection:
            return orders_table.create(connection, self._outbox(connection).table)

    def create_webhooks(self) -> bool:
        """Create the table of webhooks; return whether it was missing."""
        with self.transactions.begin() as connection:
            return orders_table.create(connection, Webhooks(self._outbox(connection)).table)

    def check(self) -> None:
        """Connect, and check the orders table; see `OrderStore.check`."""
        with self._begin(reading=True, judging=True):
            pass

    def close(self) -> None:
        """Close our own connections, not the caller's."""
        self.transactions.close()

    @contextmanager
    def _begin(
        self, session: Joined | None = None, *, reading: bool = False, judging: bool = False
    ) -> Iterator[UnitOfWork]:
        """Yield a unit of work in the caller's transaction or a new one. If *judging*, it asks the shop's condition."""
        try:
            with self.transactions.begin(session, reading=reading) as connection:
                unit = UnitOfWork(
                    connection,
                    self._tables(connection),
                    self._settings,
                    self._hooks,
                    self.transactions,
                    session,
                    self._to_python,
                    partial(self._find_again, connection),
                )
                if judging:
                    self._try_condition(unit)
                yield unit
        except TableAltered:
            self._known.clear()
            self._tried.clear()
            raise
        for call in unit.after_commit:
            self.transactions.after_commit(session, call)

    def _tables(self, connection: sa.Connection) -> Tables:
        """Return the tables of a database, which may be a caller's and not that of ``ORDERS_DATABASE_URL``."""
        database = self.transactions.database(connection)
        if database not in self._known:
            self._known[database] = self._find(connection)
        return self._known[database]

    def _find_again(self, connection: sa.Connection) -> Tables:
        """Return the tables of a database, which may have been altered since we first looked at them."""
        self._known.pop(self.transactions.database(connection), None)
        return self._tables(connection)

    def _find(self, connection: sa.Connection) -> Tables:
        orders, outbox = orders_table.find(connection, self._settings), self._outbox(connection)
        has_outbox = orders_table.exists(connection, outbox.table)
        if self._hooks.late_payment_hook and not has_outbox:
            raise SchemaError(
                f"ORDERS_EVENTS_TABLE is {self._settings.events_table!r}, but the database has no such table: "
                "@orders.on_late_payment needs it to record refused payments; create it with `orders init-db`"
            )
        condition = conditions.joined(self._conditions(orders))
        paused = is_paused(outbox) if has_outbox else None
        statements = Statements(orders, connection.dialect, outbox.clock, self._settings.grace, condition, paused)
        webhooks = Webhooks(outbox)
        has_webhooks = has_outbox and orders_table.exists(connection, webhooks.table)
        return Tables(statements, outbox if has_outbox else None, webhooks if has_webhooks else None)

    def _conditions(self, orders: OrdersTable) -> Mapping[str, ShopsCondition]:
        return conditions.of_shop(
            self._settings.condition, self._hooks.condition_hook, orders.table, self._to_expression
        )

    def _try_condition(self, unit: UnitOfWork) -> None:
        """Have the database parse the shop's condition, once; payments do not need it, and must not fail with it."""
        database, orders = self.transactions.database(unit.connection), unit.tables.orders.orders
        if database not in self._tried:
            conditions.try_out(unit.connection, orders, self._conditions(orders))
            self._tried.add(database)

    def _outbox(self, connection: sa.Connection) -> Outbox:
        return Outbox(self._settings, connection.dialect.name, deciding_clock(connection.dialect.name, self._clock))
