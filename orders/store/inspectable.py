"""The part of `orders.store.OrderStore` that reads many rows, for forecasts and audits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from orders.events import Event
from orders.store.outcomes import Expected, Found


class Inspectable(Protocol):
    """What operators ask about many orders. Each method is one transaction."""

    def now(self) -> datetime:
        """Return the time of the clock that decides what is due, in UTC."""
        ...

    def expected(self, ends: Sequence[datetime]) -> Sequence[Expected]:
        """Return how many pending rows are due in each span of time, read at one time.

        Args:
            ends: the last moment of each span, in order. A span begins after the one before it; the first has no start.
        """
        ...

    def identity(self) -> str | None:
        """Return what identifies the database and the table of the orders, for people too; None if nothing does."""
        ...

    def place(self) -> str:
        """Return where the orders are: what tells them from those of another server, database or table."""
        ...

    def expired_rows(self, *, since: datetime, after: object, limit: int) -> tuple[Sequence[Found], object]:
        """Return those of the next rows by id that are expired and have a deadline not before *since*.

        Args:
            since: an aware datetime.
            after: what the previous call returned as the last key that it read, None for the first call.
            limit: how many rows to read.

        Returns:
            The rows, and the last key that was read; None at the end of the table.
        """
        ...

    def expired_among(self, order_ids: Sequence[str], *, since: datetime) -> set[str]:
        """Return those of these ids whose rows are among all `expired_rows`."""
        ...

    def due_rows(self, *, after: Found | None, limit: int) -> Sequence[Found]:
        """Return a page of rows that are pending and due, OVERDUE or KEPT, by deadline and id.

        Args:
            after: the last row of the previous page, None for the first page.
            limit: the number of rows in a page.
        """
        ...

    def rows(self, order_ids: Sequence[str]) -> Mapping[str, Found]:
        """Return the rows of orders by id. Ids without a row, and those that the column cannot hold, are left out."""
        ...

    def has_events(self) -> bool:
        """Return whether there is an events table."""
        ...

    def expiries(self, *, since: datetime, after: int | None, limit: int) -> Sequence[tuple[int, str]]:
        """Return a page of the events of expired orders since some time: their ids, and the ids of their orders.

        Args:
            since: an aware datetime.
            after: the id of the last event of the previous page, None for the first page.
            limit: the number of events in a page.
        """
        ...

    def histories(self, order_ids: Sequence[str]) -> Mapping[str, Sequence[Event]]:
        """Return the expiries and the accepted payments of orders, oldest first, without their data."""
        ...
