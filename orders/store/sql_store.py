"""The `orders.store.OrderStore` of SQLAlchemy: what happens in one transaction, hooks and events included."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from orders.clock import Clock
from orders.errors import InvalidOrderId, SchemaError
from orders.events import Event
from orders.hooks import Hooks
from orders.store import caller_transaction, orders_table, sql_errors
from orders.store import engine as engines
from orders.store.outbox import Outbox
from orders.store.outcomes import Outcome, Payment, Pending, Postponed, Row, Verdict
from orders.store.port import Joined
from orders.store.sql_clock import deciding_clock
from orders.store.statements import MISSING, Statements
from orders.store.unit_of_work import Tables, Work

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")


class SqlStore:
    """The store of any table in PostgreSQL, MySQL, MariaDB or SQLite.

    Nothing is imported or sent before the first call, so that a web app that only enqueues needs no driver.

    Args:
        settings: where the database is, the names of the table and its columns, and the shop's words for the states.
        hooks: what the shop wants done in the same transaction.
        engine: the engine to use instead of one for ``ORDERS_DATABASE_URL``.
        clock: decides what is due. Without one, the database's own clock does, so that a worker whose clock is
            wrong closes no order early; SQLite has none, and takes this host's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        hooks: Hooks | None = None,
        engine: sa.Engine | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._settings = settings
        self._hooks = hooks or Hooks()
        self._given_engine = engine
        self._given_clock = clock
        self._others: dict[sa.URL, Tables] = {}

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire those that are pending and due, by one conditional update; tell what became of each id."""
        return self._decide(order_ids, Work.expire, Outcome.EXPIRED)

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Tell what may become of each id; change nothing."""
        return self._decide(order_ids, _nothing, Outcome.CLOSED)

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark those that are pending as paid, because the guard says so; tell what became of each id."""
        return self._decide(order_ids, _settle_paid, Outcome.PAID)

    def pay(
        self,
        order_id: str,
        *,
        reference: str | None = None,
        joined: Joined | None = None,
        after_commit: Callable[[str], None] | None = None,
    ) -> Payment:
        """Mark an order as paid if it is pending; tell what became of the payment. See `OrderStore.pay`."""
        with self._work(joined) as work:
            return work.pay(order_id, reference, after_commit)

    def extend(
        self,
        order_id: str,
        deadline: datetime,
        *,
        joined: Joined | None = None,
        after_commit: Callable[[str], None] | None = None,
    ) -> bool:
        """Give a pending order another deadline; tell whether it was pending. See `OrderStore.extend`."""
        with self._work(joined) as work:
            return work.extend(order_id, deadline, after_commit)

    def row(self, order_id: str) -> Row | None:
        """Return what an order's row says; None if there is none.

        Raises:
            InvalidOrderId: the id column cannot hold this id.
        """
        key = self._tables.key(order_id)
        with self._transaction(reading=True) as connection:
            return self._tables.orders.row(connection, key)

    def pending(self, *, overdue: float | None, after: Pending | None, limit: int) -> Sequence[Pending]:
        """Return a page of pending rows by deadline and id, from behind *after*; see `OrderStore.pending`."""
        statements = self._tables.orders
        with self._transaction(reading=True) as connection:
            return statements.pending(connection, overdue=overdue, after=after, limit=limit)

    def count_pending(self, *, overdue: float | None) -> int:
        """Return how many rows `pending` would page through."""
        statements = self._tables.orders
        with self._transaction(reading=True) as connection:
            return statements.count_pending(connection, overdue=overdue)

    def oldest_overdue(self) -> float | None:
        """Return for how many seconds a pending row has been due, at most; None if none is."""
        statements = self._tables.orders
        with self._transaction(reading=True) as connection:
            return statements.oldest_overdue(connection)

    def events(self, order_id: str, *, limit: int) -> Sequence[Event]:
        """Return the latest events of an order, oldest first; none if there is no outbox.

        Raises:
            InvalidOrderId: the id column cannot hold this id.
        """
        tables = self._tables
        if tables.outbox is None:
            return []
        member = tables.member(tables.key(order_id))
        with self._transaction(reading=True) as connection:
            return tables.outbox.of_order(connection, member, limit=limit)

    def claim_events(self, *, limit: int, lease: float) -> Sequence[Event]:
        """Lease the oldest undelivered event of at most *limit* orders for so many seconds."""
        outbox = self._tables.outbox
        if outbox is None:
            return []
        with self._transaction() as connection:
            return outbox.claim(connection, limit=limit, lease=lease)

    def settle_events(self, delivered: Sequence[Event], postponed: Sequence[Postponed]) -> None:
        """Note which events were delivered and, in another transaction, which are to be claimed again."""
        outbox = self._tables.outbox
        if outbox is None:
            return
        with self._transaction() as connection:
            outbox.delivered(connection, delivered)
        with self._transaction() as connection:
            for later in postponed:
                outbox.postpone(connection, later)

    def prune_events(self, *, older_than: float, keep_undelivered: bool, limit: int) -> int:
        """Delete at most *limit* events that are so many seconds old; return how many."""
        outbox = self._tables.outbox
        if outbox is None:
            return 0
        with self._transaction() as connection:
            return outbox.prune(connection, older_than=older_than, keep_undelivered=keep_undelivered, limit=limit)

    def create_table(self, id_type: orders_table.IdType) -> bool:
        """Create the default table and its index; tell whether it was missing."""
        with self._transaction() as connection:
            default = orders_table.default(self._settings, id_type, connection.dialect.name)
            return _create(connection, default)

    def create_outbox(self) -> bool:
        """Create the table of events; tell whether it was missing. Processes that run find it when they start anew."""
        with self._transaction() as connection:
            return _create(connection, self._outbox(connection).table)

    def check(self) -> None:
        """Connect, and check the table.

        Raises:
            StoreUnavailable: the database cannot be reached.
            SchemaError: the table or a column is missing, or of a type that cannot serve.
        """
        _ = self._tables

    def probe(self, look: Callable[[sa.Connection, Tables], T]) -> T:
        """Return what a function finds in a transaction that is opened for writing; see `orders.operate.doctor`."""
        tables = self._tables
        with self._transaction() as connection:
            return look(connection, tables)

    def close(self) -> None:
        """Close the connections."""
        self._engine.dispose()

    def _decide(
        self,
        order_ids: Sequence[str],
        change: Callable[[Work, Sequence[Any]], Mapping[Any, float]],
        outcome: Outcome,
    ) -> Mapping[str, Verdict]:
        """Change those rows that may be changed, in one transaction; tell what became of each id."""
        tables = self._tables
        verdicts: dict[str, Verdict] = {}
        keys: dict[str, Any] = {}
        for order_id in order_ids:
            try:
                keys[order_id] = tables.key(order_id)
            except InvalidOrderId as error:
                verdicts[order_id] = Verdict(Outcome.INVALID, reason=str(error))
        if not keys:
            return verdicts
        with self._transaction(reading=change is _nothing) as connection:
            changed = change(self._work_on(connection, tables), sorted(set(keys.values())))
            others = keys.values() - changed.keys()
            found = tables.orders.look(connection, list(others), at_rest=change is _nothing) if others else {}
        for order_id, key in keys.items():
            late = changed.get(key)
            verdicts[order_id] = found.get(key, MISSING) if late is None else Verdict(outcome, 0.0, -late)
        return verdicts

    @contextmanager
    def _work(self, joined: Joined | None) -> Iterator[Work]:
        """Yield work in the caller's transaction or, without one, in one of our own; do what follows its commit."""
        if joined is None:
            tables = self._tables
            with self._transaction() as connection:
                work = self._work_on(connection, tables)
                yield work
            for call in work.following:
                call()
            return
        connection = caller_transaction.connection_of(joined)
        with sql_errors.translated(connection.engine.url), caller_transaction.savepoint(joined, connection):
            work = self._work_on(connection, self._tables_of(connection), joined)
            yield work
        for call in work.following:
            caller_transaction.after_commit(connection, call)

    def _work_on(self, connection: sa.Connection, tables: Tables, joined: Joined | None = None) -> Work:
        return Work(connection, tables, self._settings, self._hooks, joined)

    @contextmanager
    def _transaction(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        with engines.transaction(self._engine, reading=reading) as connection:
            yield connection

    @cached_property
    def _engine(self) -> sa.Engine:
        return self._given_engine or engines.create_engine(self._settings.database_url)

    @cached_property
    def _tables(self) -> Tables:
        with self._transaction(reading=True) as connection:
            return self._find(connection)

    def _tables_of(self, connection: sa.Connection) -> Tables:
        """Return what the database of the caller's connection has: it need not be that of ``ORDERS_DATABASE_URL``."""
        url = connection.engine.url
        if url not in self._others:
            self._others[url] = self._find(connection)
        return self._others[url]

    def _find(self, connection: sa.Connection) -> Tables:
        orders, outbox = orders_table.find(connection, self._settings), self._outbox(connection)
        has_outbox = outbox.exists(connection)
        if self._hooks.late_payment_hook and not has_outbox:
            raise SchemaError(
                f"ORDERS_EVENTS_TABLE is {self._settings.events_table!r}, and the database has no such table: a shop "
                "with @orders.on_late_payment needs it, to know which payments it has refused. `orders init-db` "
                "creates it"
            )
        statements = Statements(orders, connection.dialect, outbox.clock, self._settings.grace)
        return Tables(statements, outbox if has_outbox else None)

    def _outbox(self, connection: sa.Connection) -> Outbox:
        dialect = connection.dialect.name
        return Outbox(self._settings, dialect, deciding_clock(dialect, self._given_clock))


def _settle_paid(work: Work, keys: Sequence[Any]) -> Mapping[Any, float]:
    return dict.fromkeys(work.settle_paid(keys), 0.0)


def _nothing(_: Work, __: Sequence[Any]) -> Mapping[Any, float]:
    return {}


def _create(connection: sa.Connection, missing: sa.Table) -> bool:
    if sa.inspect(connection).has_table(missing.name, schema=missing.schema):
        return False
    missing.create(connection)
    return True
