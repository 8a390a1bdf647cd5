"""The use cases of a Django project."""

from __future__ import annotations

from orders import process
from orders.contrib.django import conf
from orders.contrib.django.store import DjangoStore
from orders.contrib.django.transactions import AtOnce
from orders.expiry import OrderExpiry
from orders.schedule import connect_schedule


class DjangoExpiry(OrderExpiry):
    """`OrderExpiry` in a Django project, on a `DjangoStore`.

    Within ``transaction.atomic`` the schedule is told once that has been committed, and never if it is rolled back;
    outside, at once. If Redis fails then, what has been committed stands: it is logged and counted (``outages``), and
    ``orders.reconcile`` schedules the order when its deadline has passed.
    """

    store: DjangoStore

    @property
    def at_once(self) -> OrderExpiry:
        """The same for an operator, who wants to know: nothing waits for a commit, and a Redis that fails raises."""
        transactions = AtOnce(lambda: self.store.alias)
        return OrderExpiry(
            self.settings, self.schedule, self.store, hooks=self.hooks, transactions=transactions, clock=self._clock
        )


def connect() -> DjangoExpiry:
    """Return the use cases on Django's ``ORDERS`` and on its connections. Nothing is connected yet.

    Raises:
        DjangoConfigError: ``ORDERS`` is wrong.
    """
    configuration, hooks = conf.read(), process.process_hooks()
    settings, key = configuration.settings, configuration.model._meta.pk
    store = DjangoStore(settings, lambda: configuration.alias, hooks=hooks, to_python=key.to_python)
    return DjangoExpiry(settings, connect_schedule(settings), store, hooks=hooks)
