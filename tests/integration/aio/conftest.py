"""A shop whose functions for asyncio are used, a Redis that hangs, and a loop that must not pause."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from orders import process
from orders.expiry.use_cases import OrderExpiry
from tests.conftest import Shop

DEADLINE = datetime(2030, 1, 31, 12, tzinfo=UTC)

LONGEST_PAUSE = 2.5
"""Seconds that a loop that nobody blocks may pause, on a busy machine; what hangs here hangs for three."""


@pytest.fixture(autouse=True)
def _used(shop: Shop) -> Iterator[None]:
    shop.create()
    with process.using(shop.expiry):
        yield


@pytest.fixture
def hanging(shop: Shop) -> Iterator[OrderExpiry]:
    """The same shop on a Redis that accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0?socket_timeout=3"
        expiry = OrderExpiry.connect(shop.settings.model_copy(update={"redis_url": url}))
        with process.using(expiry):
            yield expiry
        expiry.close()


@asynccontextmanager
async def database(shop: Shop) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(sa.make_url(shop.settings.database_url).set(drivername="postgresql+psycopg"))
    yield engine
    await engine.dispose()


@asynccontextmanager
async def ticking() -> AsyncIterator[None]:
    """Fail if the loop pauses in here."""
    pauses: list[float] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            pauses.append(time.monotonic() - before)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    yield
    ticker.cancel()
    assert pauses
    assert max(pauses) < LONGEST_PAUSE
