"""The use cases of a Django project: what they tell Redis waits for ``transaction.on_commit``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial, wraps
from typing import Any, NoReturn, TypeVar, cast

from django.db import connections, transaction

from orders import ids, process
from orders.clock import Clock
from orders.config import Settings
from orders.contrib.django import bridge, conf
from orders.contrib.django.store import SESSION, DjangoStore
from orders.expiry import Attempt, OrderExpiry
from orders.hooks import EventHook, Hooks, HookT
from orders.ids import OrderId
from orders.schedule import NOT_REMOVED, NOT_SCHEDULED, Schedule, connect_schedule
from orders.store import Joined

T = TypeVar("T")


class DjangoExpiry(OrderExpiry):
    """`OrderExpiry` in a Django project.

    Within ``transaction.atomic`` the schedule is told once that has been committed, and never if it is rolled back;
    outside, at once. If Redis fails then, what has been committed stands: it is logged and counted (``outages``), and
    ``orders.reconcile`` schedules the order when its deadline has passed.

    Args:
        settings: the settings.
        schedule: the sorted set.
        store: the orders table.
        hooks: what the shop adds.
        clock: tells from when timeouts count.
        retrying: the ``sleep`` and ``jitter`` of `OrderExpiry`.
    """

    def __init__(
        self,
        settings: Settings,
        schedule: Schedule,
        store: DjangoStore,
        *,
        hooks: Hooks | None = None,
        clock: Clock | None = None,
        **retrying: Callable[..., Any],
    ) -> None:
        super().__init__(settings, schedule, store, hooks=hooks, clock=clock, **retrying)
        self._database = store

    @property
    def at_once(self) -> OrderExpiry:
        """The same for an operator, who wants to know: nothing waits for a commit, and a Redis that fails raises."""
        return OrderExpiry(self.settings, self.schedule, self.store, hooks=self.hooks, clock=self._clock)

    def run(self, attempt: Attempt) -> None:
        """Carry out an attempt on a connection that is kept for the next; see `OrderExpiry.run`."""
        with bridge.keeping():
            super().run(attempt)

    def remove(self, order_id: OrderId, *, session: Joined | None = None) -> bool:
        """Take an order out of the schedule, after the commit.

        Returns:
            Whether it was scheduled. False if that is not known: the commit is still to come, or Redis failed.
        """
        if session is not None:
            self._follow(session, tell=list)
        member, removed = ids.parse(order_id), list[int]()
        self._after_commit(lambda: removed.append(self.schedule.remove([member])), [member], NOT_REMOVED)
        return sum(removed) > 0

    def _put(self, entries: Iterable[tuple[str, datetime]]) -> None:
        listed = list(entries)
        self._after_commit(partial(super()._put, listed), [member for member, _ in listed], NOT_SCHEDULED)

    def _forget(self, member: str) -> None:
        self._after_commit(partial(self.schedule.remove, [member]), [member], NOT_REMOVED)

    def _follow(self, session: Joined, tell: Callable[[], object]) -> NoReturn:
        raise TypeError(SESSION.format(session))

    def _after_commit(self, tell: Callable[[], object], members: Sequence[str], consequence: str) -> None:
        """Tell Redis about orders once the present transaction has been committed."""

        def try_to_tell() -> None:
            with self.outages.forgiven(members, consequence):
                tell()

        transaction.on_commit(try_to_tell, using=self._database.alias, robust=True)

    def _without_conflict(self, call: Callable[[], T]) -> T:
        # A conflict has undone the caller's work too, so only the caller can try again.
        return call() if bridge.is_joined(self._database.alias) else super()._without_conflict(call)

    def _event_hooks(self) -> Sequence[EventHook]:
        hooks = super()._event_hooks()
        return hooks if self.settings.events_parallel == 1 else [self._in_thread(hook) for hook in hooks]

    def _in_thread(self, hook: HookT) -> HookT:
        """Return what closes the connections that the hook has opened: no request ends in that thread."""

        @wraps(hook)
        def call(*arguments: Any) -> Any:
            try:
                return hook(*arguments)
            finally:
                connections.close_all()

        return cast("HookT", call)


def connect() -> DjangoExpiry:
    """Return the use cases on Django's ``ORDERS`` and on its connections. Nothing is connected yet.

    Raises:
        DjangoConfigError: ``ORDERS`` is wrong.
    """
    configuration, hooks = conf.read(), process.process_hooks()
    settings, key = configuration.settings, configuration.model._meta.pk
    store = DjangoStore(settings, lambda: configuration.alias, hooks=hooks, to_python=key.to_python)
    return DjangoExpiry(settings, connect_schedule(settings), store, hooks=hooks)
