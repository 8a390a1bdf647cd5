"""Stores with connections of their own, on a real database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime

import pytest

from orders.config.settings import Settings
from orders.hooks import Hooks
from orders.store.outcomes import Outcome
from orders.store.sql_store import SqlStore
from tests.conftest import Adapter

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)

OpenStore = Callable[..., SqlStore]


@pytest.fixture
def open_store(settings: Settings, adapter: Adapter) -> Iterator[OpenStore]:
    """Return a function that opens a store with connections of its own, on changed settings."""
    with ExitStack() as stack:

        def open_store(**changes: object) -> SqlStore:
            store = adapter.store(settings.model_copy(update=changes), hooks=Hooks())
            stack.callback(store.close)
            return store

        yield open_store


def outcomes(store: SqlStore, *order_ids: str) -> dict[str, Outcome]:
    return {order_id: verdict.outcome for order_id, verdict in store.expire(order_ids).items()}
