"""Celery without this project, with a delayed task per order: its app and its task."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from celery import Celery

from benchmarks.peers.job import REDIS_URL, expire

app = Celery("benchmark", broker=os.environ[REDIS_URL])
app.conf.update(
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
    worker_prefetch_multiplier=128,
)
task = app.task(expire)


def fill(orders: int) -> None:
    """Send one task per order, due at its deadline, which is now."""
    deadline = datetime.now(UTC)
    with app.producer_or_acquire() as producer:
        for order_id in range(1, orders + 1):
            task.apply_async((order_id,), eta=deadline, producer=producer)
