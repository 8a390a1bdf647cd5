"""Whose schedule it is: the first database whose workers use it owns it, and workers of any other refuse to.

Otherwise two deployments with the same Redis and ``ORDERS_KEY`` would take each other's ids, and drop them because
their own tables have no such rows.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from orders.errors import ScheduleError, StoreError, WrongDatabase
from orders.schedule import Schedule
from orders.store import OrderStore

if TYPE_CHECKING:
    from orders.config import Settings


class Ownership:
    """Compares the database of this process with the owner that is noted in Redis.

    Args:
        schedule: the schedule.
        store: the orders.
        settings: the settings.
    """

    def __init__(self, schedule: Schedule, store: OrderStore, settings: Settings) -> None:
        self._schedule = schedule
        self._store = store
        self._settings = settings
        self._is_known = False
        self.mine: str | None = None
        """The identity of this process's database, once it is known."""
        self.place: str | None = None
        """Where it is, once it is known that it has no identity."""

    def check(self) -> None:
        """Register the database of this process if the schedule has no owner; see `owner`.

        A database or a Redis that cannot answer is no reason to refuse: whatever needs it will say so.

        Raises:
            WrongDatabase: another database owns the schedule.
        """
        try:
            with self._store.transactions.worker():
                owner = self.owner()
        except (StoreError, ScheduleError):
            return
        if owner != self.mine:
            raise WrongDatabase(
                f"ORDERS_KEY is {self._settings.key!r}, the schedule of the {owner}, but the orders of this process "
                f"are in the {self.mine}: each deployment must have an ORDERS_KEY or a Redis of its own. If this is "
                "the same shop with another database, run `orders adopt`"
            )
        self._is_known = True

    def check_once(self) -> None:
        """Check until database and Redis have answered, which each attempt would pay for otherwise.

        Raises:
            WrongDatabase: another database owns the schedule.
        """
        if not self._is_known:
            self.check()

    def owner(self) -> str | None:
        """Return the identity of the database that owns the schedule, which is now `mine` if there was none.

        None if this process's database has no identity, because it has no events table.

        Raises:
            StoreError: the database failed.
            ScheduleError: Redis failed.
        """
        self.mine = self.mine or self._store.identity()
        if self.mine is None:
            with suppress(StoreError):  # a user of the database may not ask for it
                self.place = self.place or self._store.place()
            return None
        owners = self._schedule.owners()
        if not owners:
            self._schedule.register(self.mine)
            owners = self._schedule.owners()  # another one may have registered first
        return owners[0]

    def adopt(self) -> str | None:
        """Make this process's database the owner; return the one before, if there was another.

        Raises:
            StoreError: the database failed.
            ScheduleError: Redis failed.
        """
        self.owner()
        if self.mine is None:
            return None
        others = [owner for owner in self._schedule.owners() if owner != self.mine]
        self._schedule.register(self.mine, instead_of=others)
        self._is_known = True
        return others[0] if others else None
