"""The processes that the measurement of costs starts: ``python -m benchmarks.parts NAME ARGUMENT…``.

Each runs one part of a drain by itself, with the project's own code and settings (``ORDERS_…``), and prints as JSON
the CPU seconds that it and the servers used. See benchmarks/measures/costs.py.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import psycopg
from redis import Redis

import orders
from benchmarks.servers import url_for_psycopg
from orders.expiry.sweep import run_sweep
from orders.schedule.scripts import CHUNK

COMMITS = 200
"""Number of commits; the result is their median."""

EMPTY = 500
"""Number of sweeps that find nothing due."""

Clocks = Mapping[str, Callable[[], float]]
"""By process name, a function that returns the CPU seconds it has used, or another counter."""


def redis_seconds(url: str) -> float:
    """Return the CPU seconds that a Redis has used, to the microsecond. Linux counts those of a process to 10 ms."""
    with closing(Redis.from_url(url)) as redis:
        used = redis.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def sweep() -> dict[str, float]:
    """Sweep what is due while no worker takes messages, then sweep many times while nothing is due."""
    from tasks.app import app  # noqa: PLC0415 - Celery reads its settings when it is imported
    from tasks.publisher import CeleryPublisher  # noqa: PLC0415

    expiry = orders.configure()
    settings = expiry.settings
    clocks: Clocks = {
        "sweeper": time.process_time,
        "schedule": partial(redis_seconds, settings.redis_url),
        "broker": partial(redis_seconds, settings.broker_url),
    }
    with app.producer_pool.acquire(block=True) as producer:
        publisher = CeleryPublisher(app, producer)
        publisher.backlog()  # connects
        used, swept = _used(clocks, lambda: run_sweep(expiry.schedule, publisher, settings))

        def look() -> None:
            for _ in range(EMPTY):
                publisher.backlog()
                expiry.schedule.claim(CHUNK)

        empty, _ = _used(clocks, look)
    return {
        "orders": swept.claimed,
        "messages": swept.sent,
        **used,
        **{f"{name}_empty": seconds / EMPTY for name, seconds in empty.items()},
    }


def enqueue(number: str) -> dict[str, float]:
    """Schedule orders one by one, as a shop does, then remove them, as payments do."""
    expiry = orders.configure()
    clocks: Clocks = {"client": time.process_time, "schedule": partial(redis_seconds, expiry.settings.redis_url)}
    due = datetime.now(UTC) + timedelta(hours=1)
    numbers = range(1, int(number) + 1)
    expiry.enqueue(0, expires_at=due)  # connects
    put, _ = _used(clocks, lambda: [expiry.enqueue(order_id, expires_at=due) for order_id in numbers])
    out, _ = _used(clocks, lambda: [expiry.remove(order_id) for order_id in numbers])
    return {"orders": int(number), **put, **{f"{name}_remove": seconds for name, seconds in out.items()}}


def commits() -> dict[str, float]:
    """Return the median seconds of a commit that waits for the disk, and of one that does not."""
    found = {}
    with psycopg.connect(url_for_psycopg(orders.configure().settings.database_url), autocommit=True) as connection:
        connection.execute("CREATE TABLE commits (number integer)")
        for waits in ("on", "off"):
            connection.execute(f"SET synchronous_commit = {waits}".encode())
            seconds = sorted(
                _used({"": time.perf_counter}, lambda: connection.execute("INSERT INTO commits VALUES (1)"))[0][""]
                for _ in range(COMMITS)
            )
            found[waits] = seconds[COMMITS // 2]
    return found


def _used(clocks: Clocks, work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Run *work*; return how much each clock advanced meanwhile, and the return value of *work*."""
    before = {name: clock() for name, clock in clocks.items()}
    returned = work()
    return {name: clock() - before[name] for name, clock in clocks.items()}, returned


PARTS: dict[str, Callable[..., dict[str, float]]] = {
    "sweep": sweep,
    "enqueue": enqueue,
    "commits": commits,
}

if __name__ == "__main__":
    print(json.dumps(PARTS[sys.argv[1]](*sys.argv[2:])))
