"""RQ: its queue, and its worker's settings (``rq worker-pool --config benchmarks.peers.rq_peer``)."""

from __future__ import annotations

import os

from redis import Redis
from rq import Queue

from benchmarks.peers import job

CHUNK = 1000

REDIS_URL = os.environ[job.REDIS_URL]


def fill(orders: int) -> None:
    """Enqueue one job per order."""
    with Redis.from_url(REDIS_URL) as redis:
        queue = Queue(connection=redis)
        for first in range(1, orders + 1, CHUNK):
            ids = range(first, min(first + CHUNK, orders + 1))
            queue.enqueue_many([Queue.prepare_data(job.expire, (order_id,), result_ttl=0) for order_id in ids])
