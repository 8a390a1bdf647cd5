"""The `orders.store.Deliveries` of one database. Each method is one transaction, or two."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING

from orders.errors import SchemaError
from orders.store.deliveries import Delivery, Progress, Rest, Unsent

if TYPE_CHECKING:
    from orders.store.unit_of_work import UnitOfWork
    from orders.store.webhooks import Webhooks


class SqlDeliveries:
    """The progress of webhooks.

    Args:
        begin: begins a transaction, as `orders.store.SqlStore` does.
    """

    def __init__(self, begin: Callable[..., AbstractContextManager[UnitOfWork]]) -> None:
        self._begin = begin

    def fan_out(self, endpoint: str, *, look_back: float, limit: int) -> int:
        """Add deliveries of new events for an endpoint; see `Deliveries.fan_out`."""
        with self._begin() as unit:
            return _needed(unit).fan_out(unit.connection, endpoint, look_back=look_back, limit=limit)

    def claim(self, endpoint: str, *, limit: int, lease: float) -> Sequence[Delivery]:
        """Lease waiting deliveries; see `Deliveries.claim`."""
        with self._begin() as unit:
            return _needed(unit).claim(unit.connection, endpoint, limit=limit, lease=lease)

    def settle(self, endpoint: str, delivered: Sequence[int], unsent: Sequence[Unsent], rest: Rest | None) -> None:
        """Mark deliveries as made, and release the others; see `Deliveries.settle`."""
        with self._begin() as unit:
            _needed(unit).delivered(unit.connection, endpoint, delivered)
        if unsent or rest:
            with self._begin() as unit:
                _needed(unit).release(unit.connection, endpoint, unsent, rest)

    def progress(self) -> Sequence[Progress]:
        """Return the progress of all endpoints; see `Deliveries.progress`."""
        with self._begin(reading=True) as unit:
            return unit.tables.webhooks.progress(unit.connection) if unit.tables.webhooks else []

    def delivered(self) -> dict[str, int]:
        """Return how many deliveries were made; see `Deliveries.delivered`."""
        with self._begin(reading=True) as unit:
            return unit.tables.webhooks.count_delivered(unit.connection) if unit.tables.webhooks else {}

    def replay(
        self, endpoint: str, *, since: datetime | None = None, event_id: int | None = None, dead: bool = False
    ) -> int:
        """Have an endpoint get events again; see `Deliveries.replay`."""
        with self._begin() as unit:
            return _needed(unit).replay(unit.connection, endpoint, since=since, event_id=event_id, dead=dead)

    def exist(self) -> bool:
        """Return whether there is a table."""
        with self._begin(reading=True) as unit:
            return unit.tables.webhooks is not None


def _needed(unit: UnitOfWork) -> Webhooks:
    if unit.tables.webhooks is None:
        raise SchemaError(
            f"the database has no table {unit.settings.events_table}_webhooks, which holds the progress of webhooks: "
            "create it with `orders init-db` or `manage.py migrate`, and restart all processes"
        )
    return unit.tables.webhooks
