"""APScheduler: a scheduler with a date job per order. ``python -m benchmarks.peers.apscheduler_peer`` runs it."""

from __future__ import annotations

import os
from datetime import UTC, datetime

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.redis import RedisJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.schedulers.base import BaseScheduler
from apscheduler.schedulers.blocking import BlockingScheduler
from redis import ConnectionPool

from benchmarks.peers.job import REDIS_URL

THREADS = 10


def _configure(scheduler: BaseScheduler) -> None:
    scheduler.configure(
        jobstores={"default": RedisJobStore(connection_pool=ConnectionPool.from_url(os.environ[REDIS_URL]))},
        executors={"default": ThreadPoolExecutor(THREADS)},
        job_defaults={"misfire_grace_time": None},  # run a job however late it is
        timezone=UTC,
    )


def fill(orders: int) -> None:
    """Add one job per order to the store, due at its deadline, which is now."""
    scheduler = BackgroundScheduler()
    _configure(scheduler)
    scheduler.start(paused=True)
    deadline = datetime.now(UTC)
    for order_id in range(1, orders + 1):
        scheduler.add_job("benchmarks.peers.job:expire", "date", run_date=deadline, args=(order_id,))
    # No shutdown: it would end the pause, and hand due jobs from the store to an executor that has stopped.


def serve() -> None:
    """Run due jobs."""
    scheduler = BlockingScheduler()
    _configure(scheduler)
    scheduler.start()


if __name__ == "__main__":
    serve()
