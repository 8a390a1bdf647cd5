"""The use cases of a Django project."""

from __future__ import annotations

from functools import partial

from orders import process
from orders.contrib.django import conf
from orders.contrib.django.condition import to_expression
from orders.contrib.django.store import DjangoStore
from orders.contrib.django.transactions import AtOnce
from orders.expiry import OrderExpiry
from orders.schedule import connect_schedule


class DjangoExpiry(OrderExpiry):
    """`OrderExpiry` in a Django project, on a `DjangoStore`.

    Inside ``transaction.atomic``, the schedule changes after the commit, and not at all after a rollback. Outside, it
    changes at once. If Redis fails then, the commit is still valid: the failure is logged and counted (``outages``),
    and ``orders.reconcile`` schedules the order once it is overdue.
    """

    store: DjangoStore

    @property
    def at_once(self) -> OrderExpiry:
        """The same for operators: nothing waits for a commit, and a failure of Redis raises an error."""
        transactions = AtOnce(lambda: self.store.alias)
        return OrderExpiry(
            self.settings, self.schedule, self.store, hooks=self.hooks, transactions=transactions, clock=self._clock
        )


def connect() -> DjangoExpiry:
    """Return the use cases with Django's ``ORDERS`` and connections. This does not connect to anything.

    Raises:
        DjangoConfigError: ``ORDERS`` is invalid.
    """
    configuration, hooks = conf.read(), process.process_hooks()
    settings, key = configuration.settings, configuration.model._meta.pk
    store = DjangoStore(
        settings,
        lambda: configuration.alias,
        hooks=hooks,
        to_python=key.to_python,
        to_expression=partial(to_expression, configuration.model, lambda: configuration.alias),
    )
    return DjangoExpiry(settings, connect_schedule(settings), store, hooks=hooks)
