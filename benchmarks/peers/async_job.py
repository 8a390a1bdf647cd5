"""The job for peers whose jobs are coroutines: the same statement in a transaction per order, through SQLAlchemy."""

from __future__ import annotations

import os
from functools import cache

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from benchmarks.contender import EXPIRE
from benchmarks.peers.job import DATABASE_URL, POOL_SIZE

_EXPIRE = sa.text(EXPIRE)


async def expire(order_id: int) -> None:
    """Expire an order if it is still pending and due, in its own transaction."""
    async with _engine().begin() as connection:
        await connection.execute(_EXPIRE, {"id": order_id})


@cache
def _engine() -> AsyncEngine:
    """Return the engine of this process, which has one event loop."""
    url = sa.make_url(os.environ[DATABASE_URL]).set(drivername="postgresql+asyncpg")
    return create_async_engine(url, pool_size=POOL_SIZE, max_overflow=0)
