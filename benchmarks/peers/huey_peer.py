"""Huey: its queue and its task."""

from __future__ import annotations

import os

from huey import RedisHuey

from benchmarks.peers.job import REDIS_URL, expire

huey = RedisHuey(url=os.environ[REDIS_URL], results=False)
task = huey.task()(expire)


def fill(orders: int) -> None:
    """Enqueue one task per order."""
    for order_id in range(1, orders + 1):
        task(order_id)
