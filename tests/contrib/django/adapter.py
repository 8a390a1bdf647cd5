"""Shops on Django's connections, for the tests that every adapter must pass."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import Any, TypeVar

import django
import sqlalchemy as sa
from django.apps import apps
from django.db import OperationalError, connections, transaction
from sqlalchemy.engine.default import DefaultDialect

from orders import process
from orders.clock import Clock
from orders.config.settings import Settings
from orders.contrib.django import bridge
from orders.contrib.django.expiry import DjangoExpiry
from orders.contrib.django.store import DjangoStore
from orders.expiry.use_cases import OrderExpiry
from orders.hooks import Hooks
from orders.schedule.sorted_set import Schedule
from orders.store.sql_store import SqlStore
from tests.conftest import Adapter
from tests.contrib.django.databases import of_url

T = TypeVar("T")

_numbers = count(1)


def start() -> None:
    """Start Django in this process, once; what it provides is left to the tests that want it."""
    if not apps.ready:
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.contrib.django.shop.settings"
        django.setup()
        del os.environ["DJANGO_SETTINGS_MODULE"]
        process._current = process._factory = None


@contextmanager
def database(url: str) -> Iterator[str]:
    """Yield the alias of a database that Django has not known before."""
    start()
    alias = f"shop_{next(_numbers)}"
    known = connections.configure_settings({"default": {}, alias: of_url(url)})
    connections.settings[alias] = known[alias]
    try:
        yield alias
    finally:
        bridge.close(alias)
        del connections[alias]
        del connections.settings[alias]


class DjangoAdapter(Adapter):
    """Django's transactions, on one of its databases."""

    name = "django"
    gives_way = (OperationalError, sa.exc.OperationalError)

    def __init__(self, alias: str, url: str, others: ExitStack) -> None:
        self.alias = alias
        self._url = url
        self._others = others

    def store(
        self, settings: Settings, *, hooks: Hooks, engine: sa.Engine | None = None, clock: Clock | None = None
    ) -> SqlStore:
        url, alias = settings.database_url, self.alias
        if url != self._url:
            alias = self._others.enter_context(database(url))
        return DjangoStore(settings, lambda: alias, hooks=hooks, clock=clock)

    def expiry(self, settings: Settings, schedule: Schedule, store: SqlStore, **others: Any) -> OrderExpiry:
        assert isinstance(store, DjangoStore)
        return DjangoExpiry(settings, schedule, store, **others)

    @contextmanager
    def transaction(self, engine: sa.Engine) -> Iterator[dict[str, Any]]:
        with transaction.atomic(using=self.alias):
            yield {}

    def rows(self, given: Any, statement: sa.TextClause, **parameters: Any) -> list[tuple[Any, ...]]:
        bound = statement.bindparams(**parameters)
        dialect = DefaultDialect(paramstyle="pyformat")
        compiled = bound.compile(dialect=dialect, compile_kwargs={"render_postcompile": True})
        with connections[given].cursor() as cursor:
            cursor.execute(str(compiled), dict(compiled.params))
            return list(cursor.fetchall()) if cursor.description else []

    def tidy(self, target: Callable[[], T]) -> Callable[[], T]:
        def run() -> T:
            try:
                return target()
            finally:
                connections.close_all()

        return run
