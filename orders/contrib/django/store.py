"""The store of a Django project: `orders.store.SqlStore` with Django's transactions."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from orders.clock import Clock
from orders.contrib.django.transactions import DjangoTransactions
from orders.hooks import Hooks
from orders.store import SqlStore, ToExpression, of_hook

if TYPE_CHECKING:
    from orders.config import Settings


class DjangoStore(SqlStore):
    """The store of a Django model. It joins the caller's ``transaction.atomic``; outside, it uses its own transactions.

    It connects at the first call. Threads may share it: Django has a connection for each.

    Args:
        settings: the names of the table and its columns, and the values of the states.
        alias: returns the alias of the database to use now.
        hooks: the shop's hooks, which run in the same transaction.
        to_python: converts an id from the column's type to the model's, for the hooks.
        to_expression: calls ``@orders.condition``, and converts what it returns to an expression on our table.
        clock: decides what is due; see `SqlStore`.
    """

    def __init__(
        self,
        settings: Settings,
        alias: Callable[[], str],
        *,
        hooks: Hooks | None = None,
        to_python: Callable[[Any], Any] = lambda key: key,
        to_expression: ToExpression = of_hook,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(
            settings,
            hooks=hooks,
            transactions=DjangoTransactions(alias),
            to_python=to_python,
            to_expression=to_expression,
            clock=clock,
        )
        self._find_alias = alias

    @property
    def alias(self) -> str:
        """The alias of the database to use now."""
        return self._find_alias()
