"""The job that every peer runs once for each order. It imports only what every peer's environment has."""

from __future__ import annotations

import os
import threading

import sqlalchemy as sa

from benchmarks.contender import EXPIRE

REDIS_URL = "ORDERS_BENCH_REDIS_URL"
"""The environment variable with the URL of the Redis that a peer may use."""

DATABASE_URL = "ORDERS_BENCH_DATABASE_URL"
"""The environment variable with the URL of the orders' database, for SQLAlchemy."""

POOL_SIZE = 32
"""Connections that a process keeps: one for each thread, so that none waits or reconnects."""

_EXPIRE = sa.text(EXPIRE)
_lock = threading.Lock()
_engines: dict[int, sa.Engine] = {}


class NotInstalled(Exception):
    """A peer cannot take part, because its package or the Python that has it is missing."""


def expire(order_id: int) -> None:
    """Expire an order if it is still pending and due, in its own transaction."""
    with _engine().begin() as connection:
        connection.execute(_EXPIRE, {"id": order_id})


def _engine() -> sa.Engine:
    """Return the engine of this process, never one that its parent opened before a fork."""
    process = os.getpid()
    engine = _engines.get(process)
    if engine is None:
        with _lock:
            engine = _engines.get(process)
            if engine is None:
                engine = sa.create_engine(os.environ[DATABASE_URL], pool_size=POOL_SIZE, max_overflow=0)
                _engines[process] = engine
    return engine
