"""The `orders.store.OrderStore` on SQLAlchemy: each method is one transaction, including hooks and events."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from orders.clock import Clock
from orders.errors import SchemaError
from orders.events import Event
from orders.hooks import Hooks
from orders.store import orders_table
from orders.store.outbox import Outbox
from orders.store.outcomes import Payment, Pending, Postponed, Row, Verdict
from orders.store.port import Joined, Transactions
from orders.store.sql_clock import deciding_clock
from orders.store.statements import Statements
from orders.store.transactions import SqlTransactions
from orders.store.unit_of_work import Tables, UnitOfWork

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")


class SqlStore:
    """Any orders table in PostgreSQL, MySQL, MariaDB or SQLite.

    No driver is imported and nothing is sent before the first call, so a web app that only enqueues needs no driver.

    Args:
        settings: the database, the names of the table and its columns, and the shop's values for the states.
        hooks: the shop's hooks, which run in the same transaction.
        engine: the application's engine, to use instead of one for ``ORDERS_DATABASE_URL``.
        transactions: a framework's transactions, instead of SQLAlchemy's.
        to_python: converts an id from the id column to the type that hooks expect.
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
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._hooks = hooks or Hooks()
        self._clock = clock
        self._to_python = to_python
        self.transactions = transactions or SqlTransactions(settings.database_url, engine)
        self._known: dict[Hashable, Tables] = {}

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire the orders that are pending and due, by one conditional update; return a verdict for each id."""
        with self._begin() as unit:
            return unit.expire(order_ids)

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Return a verdict for each id; change nothing."""
        with self._begin(reading=True) as unit:
            return unit.look(order_ids)

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark the pending orders as paid, because the guard says so; return a verdict for each id."""
        with self._begin() as unit:
            return unit.settle_paid(order_ids)

    def pay(self, order_id: str, *, reference: str | None = None, session: Joined | None = None) -> Payment:
        """Mark an order as paid if it is pending; see `OrderStore.pay`."""
        with self._begin(session) as unit:
            return unit.pay(order_id, reference)

    def extend(self, order_id: str, deadline: datetime, *, session: Joined | None = None) -> str | None:
        """Give a pending order another deadline; see `OrderStore.extend`."""
        with self._begin(session) as unit:
            return unit.extend(order_id, deadline)

    def row(self, order_id: str) -> Row | None:
        """Return an order's row; None if there is none.

        Raises:
            InvalidOrderId: the id column cannot hold this id.
        """
        with self._begin(reading=True) as unit:
            return unit.tables.orders.row(unit.connection, unit.tables.key(order_id))

    def pending(self, *, overdue: float | None, after: Pending | None, limit: int) -> Sequence[Pending]:
        """Return a page of pending rows; see `OrderStore.pending`."""
        with self._begin(reading=True) as unit:
            return unit.tables.orders.pending(unit.connection, overdue=overdue, after=after, limit=limit)

    def count_pending(self, *, overdue: float | None) -> int:
        """Return how many rows all pages of `pending` have."""
        with self._begin(reading=True) as unit:
            return unit.tables.orders.count_pending(unit.connection, overdue=overdue)

    def oldest_overdue(self) -> float | None:
        """Return for how many seconds the oldest pending row has been due; None if none is due."""
        with self._begin(reading=True) as unit:
            return unit.tables.orders.oldest_overdue(unit.connection)

    def events(self, order_id: str, *, limit: int) -> Sequence[Event]:
        """Return the latest events of an order, oldest first; none if there is no events table.

        Raises:
            InvalidOrderId: the id column cannot hold this id.
        """
        with self._begin(reading=True) as unit:
            order_id = unit.tables.order_id(unit.tables.key(order_id))
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

    def prune_events(self, *, older_than: float, keep_undelivered: bool, limit: int) -> int:
        """Delete at most *limit* events that are older than *older_than* seconds; return how many."""
        with self._begin() as unit:
            if unit.tables.outbox is None:
                return 0
            return unit.tables.outbox.prune(
                unit.connection, older_than=older_than, keep_undelivered=keep_undelivered, limit=limit
            )

    def create_table(self, id_type: orders_table.IdType) -> bool:
        """Create the default table and its index; return whether it was missing."""
        with self.transactions.begin() as connection:
            return _create(connection, orders_table.default(self._settings, id_type, connection.dialect.name))

    def create_outbox(self) -> bool:
        """Create the events table; return whether it was missing. Running processes use it after a restart."""
        with self.transactions.begin() as connection:
            return _create(connection, self._outbox(connection).table)

    def check(self) -> None:
        """Connect, and check the orders table.

        Raises:
            StoreUnavailable: the database cannot be reached.
            SchemaError: the table or a column is missing, or a column has an unsuitable type.
        """
        with self._begin(reading=True):
            pass

    def probe(self, look: Callable[[sa.Connection, Tables], T]) -> T:
        """Return what *look* returns in a transaction that is opened for writing; see `orders.operate.doctor`."""
        with self._begin() as unit:
            return look(unit.connection, unit.tables)

    def close(self) -> None:
        """Close our own connections, not the caller's."""
        self.transactions.close()

    @contextmanager
    def _begin(self, session: Joined | None = None, *, reading: bool = False) -> Iterator[UnitOfWork]:
        """Yield a unit of work in the caller's transaction or, without a session, in a new one."""
        with self.transactions.begin(session, reading=reading) as connection:
            unit = UnitOfWork(
                connection,
                self._tables(connection),
                self._settings,
                self._hooks,
                self.transactions,
                session,
                self._to_python,
            )
            yield unit
        for call in unit.after_commit:
            self.transactions.after_commit(session, call)

    def _tables(self, connection: sa.Connection) -> Tables:
        """Return the tables of a database, which may be a caller's and not that of ``ORDERS_DATABASE_URL``."""
        database = self.transactions.database(connection)
        if database not in self._known:
            self._known[database] = self._find(connection)
        return self._known[database]

    def _find(self, connection: sa.Connection) -> Tables:
        orders, outbox = orders_table.find(connection, self._settings), self._outbox(connection)
        has_outbox = outbox.exists(connection)
        if self._hooks.late_payment_hook and not has_outbox:
            raise SchemaError(
                f"ORDERS_EVENTS_TABLE is {self._settings.events_table!r}, but the database has no such table: "
                "@orders.on_late_payment needs it to record refused payments; create it with `orders init-db`"
            )
        statements = Statements(orders, connection.dialect, outbox.clock, self._settings.grace)
        return Tables(statements, outbox if has_outbox else None)

    def _outbox(self, connection: sa.Connection) -> Outbox:
        dialect = connection.dialect.name
        return Outbox(self._settings, dialect, deciding_clock(dialect, self._clock))


def _create(connection: sa.Connection, missing: sa.Table) -> bool:
    if sa.inspect(connection).has_table(missing.name, schema=missing.schema):
        return False
    missing.create(connection)
    return True
