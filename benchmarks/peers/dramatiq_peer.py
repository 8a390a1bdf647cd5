"""Dramatiq: its broker and its actor."""

from __future__ import annotations

import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.job import REDIS_URL, expire

dramatiq.set_broker(RedisBroker(url=os.environ[REDIS_URL]))
actor = dramatiq.actor(expire)


def fill(orders: int) -> None:
    """Enqueue one message per order."""
    for order_id in range(1, orders + 1):
        actor.send(order_id)
