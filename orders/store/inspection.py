"""What operators, metrics and the doctor read from the orders table and the events table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from orders.config import Settings
from orders.errors import StoreError
from orders.events import Event
from orders.store import identity
from orders.store.outcomes import Expected, Found
from orders.store.port import Joined
from orders.store.unit_of_work import Tables, UnitOfWork

T = TypeVar("T")


class Inspection(ABC):
    """The queries of `orders.store.SqlStore` about many orders. Each is one transaction."""

    _settings: Settings

    @abstractmethod
    def _begin(
        self, session: Joined | None = None, *, reading: bool = False, judging: bool = False
    ) -> AbstractContextManager[UnitOfWork]: ...

    def identity(self) -> str | None:
        """Return what identifies the database and the table of the orders; None without an events table.

        The database gets an id if it has none; see `orders.store.identity`.
        """
        for _ in range(2):
            with self._begin(reading=True) as unit:
                outbox = unit.tables.outbox
                if outbox is None:
                    return None
                if found := identity.read(unit.connection, outbox.table):
                    return f"{identity.describe(unit.connection, self._settings.table)}, id {found}"
            with suppress(StoreError), self._begin() as unit:  # another process may write it at the same time
                identity.write(unit.connection, outbox.table)
        return None

    def place(self) -> str:
        """Return where the orders are, as the server knows itself; see `orders.store.identity.place`."""
        with self._begin(reading=True) as unit:
            return identity.place(unit.connection, self._settings.table)

    def now(self) -> datetime:
        """Return the time of the clock that decides what is due, in UTC."""
        with self._begin(reading=True) as unit:
            return unit.tables.orders.now(unit.connection)

    def count_pending(self, *, overdue: float | None) -> int:
        """Return how many rows all pages of `pending` have."""
        with self._begin(reading=True, judging=True) as unit:
            return unit.tables.orders.count_pending(unit.connection, overdue=overdue)

    def count_before(self, due_before: datetime) -> int:
        """Return how many rows all pages of `extend_page` have."""
        with self._begin(reading=True) as unit:
            return unit.tables.orders.count_before(unit.connection, due_before)

    def count_kept(self) -> int:
        """Return how many rows are pending and due, but kept by the shop's condition."""
        with self._begin(reading=True, judging=True) as unit:
            return unit.tables.orders.count_kept(unit.connection)

    def oldest_overdue(self) -> float | None:
        """Return for how many seconds the oldest row that may expire has been due; None if none is."""
        with self._begin(reading=True, judging=True) as unit:
            return unit.tables.orders.oldest_overdue(unit.connection)

    def expected(self, ends: Sequence[datetime]) -> Sequence[Expected]:
        """Return how many pending rows are due in each span of time; see `OrderStore.expected`."""
        with self._begin(reading=True, judging=True) as unit:
            return unit.tables.orders.expected(unit.connection, ends)

    def expired_rows(self, *, since: datetime, after: object, limit: int) -> tuple[Sequence[Found], object]:
        """Return the expired ones of the next rows by id; see `OrderStore.expired_rows`."""
        with self._begin(reading=True) as unit:
            return unit.tables.orders.expired_rows(unit.connection, since=since, after=after, limit=limit)

    def expired_among(self, order_ids: Sequence[str], *, since: datetime) -> set[str]:
        """Return those of these ids whose rows are among all `expired_rows`."""
        with self._begin(reading=True) as unit:
            keys, _ = unit.keys(order_ids)
            expired = unit.tables.orders.expired_among(unit.connection, list(set(keys.values())), since=since)
            return {order_id for order_id, key in keys.items() if key in expired}

    def due_rows(self, *, after: Found | None, limit: int) -> Sequence[Found]:
        """Return a page of rows that are pending and due; see `OrderStore.due_rows`."""
        with self._begin(reading=True, judging=True) as unit:
            return unit.tables.orders.due_rows(unit.connection, after=after, limit=limit)

    def rows(self, order_ids: Sequence[str]) -> Mapping[str, Found]:
        """Return the rows of orders by id. Ids without a row, and those that the column cannot hold, are left out."""
        with self._begin(reading=True, judging=True) as unit:
            keys, _ = unit.keys(order_ids)
            rows = unit.tables.orders.rows(unit.connection, list(set(keys.values())))
            return {order_id: rows[key] for order_id, key in keys.items() if key in rows}

    def has_events(self) -> bool:
        """Return whether there is an events table."""
        with self._begin(reading=True) as unit:
            return unit.tables.outbox is not None

    def expiries(self, *, since: datetime, after: int | None, limit: int) -> Sequence[tuple[int, str]]:
        """Return a page of the expiries since some time; see `OrderStore.expiries`."""
        with self._begin(reading=True) as unit:
            if unit.tables.outbox is None:
                return []
            return unit.tables.outbox.expiries(unit.connection, since=since, after=after, limit=limit)

    def histories(self, order_ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        """Return the expiries and the accepted payments of orders, oldest first; none without an events table."""
        with self._begin(reading=True) as unit:
            return unit.tables.outbox.histories(unit.connection, order_ids) if unit.tables.outbox else {}

    def probe(self, look: Callable[[sa.Connection, Tables], T]) -> T:
        """Return what *look* returns in a transaction that is opened for writing; see `orders.operate.doctor`."""
        with self._begin() as unit:
            return look(unit.connection, unit.tables)
