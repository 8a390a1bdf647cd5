"""Arq: its worker's settings. It runs in its own environment, without this project's dependencies."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import func

from benchmarks.peers.job import REDIS_URL, expire

CHUNK = 50
THREADS = 4

_redis = RedisSettings.from_dsn(os.environ[REDIS_URL])
_threads = ThreadPoolExecutor(THREADS)

QUIET = {"version": 1, "disable_existing_loggers": False, "loggers": {"arq": {"level": "WARNING"}}}
"""Write no log line per job."""


async def expire_order(_context: dict[str, Any], order_id: int) -> None:
    """Expire an order in a thread, because the code blocks."""
    await asyncio.get_running_loop().run_in_executor(_threads, expire, order_id)


class WorkerSettings:
    """The settings of ``arq benchmarks.peers.arq_peer.WorkerSettings``."""

    functions = (func(expire_order),)
    redis_settings = _redis
    max_jobs = 100
    poll_delay = 0.01
    keep_result = 0


def fill(orders: int) -> None:
    """Enqueue one job per order."""
    asyncio.run(_fill(orders))


async def _fill(orders: int) -> None:
    pool = await create_pool(_redis)
    for first in range(1, orders + 1, CHUNK):
        ids = range(first, min(first + CHUNK, orders + 1))
        await asyncio.gather(*(pool.enqueue_job("expire_order", order_id) for order_id in ids))
    await pool.aclose()
