"""Idle: the cost of a minute in which nothing falls due, with a million pending orders."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psycopg

from benchmarks.contender import Bench
from benchmarks.lab import Lab, Measure, Result
from benchmarks.orders_table import OrdersTable
from benchmarks.ours import ONE_TASK
from benchmarks.processes import cpu_seconds

PENDING, QUICK_PENDING = 1_000_000, 100_000

SECONDS, QUICK_SECONDS = 60.0, 10.0

SETTLE = 6.0
"""Seconds until worker and beat have started and have swept once."""

AHEAD = 7200.0
"""Seconds to the first deadline."""

STATEMENTS = """
SELECT query, calls, total_exec_time FROM pg_stat_statements AS statements
JOIN pg_database ON pg_database.oid = statements.dbid WHERE datname = %s ORDER BY calls DESC
"""


def steps(_: Lab) -> int:
    """Return 1."""
    return 1


def run(lab: Lab) -> Sequence[Result]:
    """Wait, and measure CPU time and statements."""
    pending = QUICK_PENDING if lab.quick else PENDING
    seconds = QUICK_SECONDS if lab.quick else SECONDS
    lab.step(f"idle: {seconds:g} s with {pending:,} pending")
    with (
        lab.servers.database() as database_url,
        lab.servers.redis() as redis,
        lab.servers.workplace() as folder,
        # Connected to another database, so that its statements are not counted.
        psycopg.connect(lab.servers.postgres_uri, autocommit=True) as observer,
    ):
        bench = Bench(redis.url, database_url, folder, Path(sys.executable))
        with OrdersTable(database_url) as table:
            table.place(pending, due=AHEAD)
        ONE_TASK.fill(bench, pending)
        observer.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        with ONE_TASK.run(bench) as workers:
            time.sleep(SETTLE)
            roots = {
                "PostgreSQL": [lab.servers.postgres_pid],
                "Redis": [redis.pid],
                "worker and beat": [worker.pid for worker in workers],
            }
            observer.execute("SELECT pg_stat_statements_reset()").fetchone()
            before = {name: cpu_seconds(pids) for name, pids in roots.items()}
            time.sleep(seconds)
            cpu = {name: cpu_seconds(pids) - before[name] for name, pids in roots.items()}
            statements = observer.execute(STATEMENTS, [database_url.rpartition("/")[2].partition("?")[0]]).fetchall()
    return [_result(pending, seconds, cpu, statements)]


def _result(pending: int, seconds: float, cpu: dict[str, float], statements: Sequence[tuple[Any, ...]]) -> Result:
    return Result(
        name="idle",
        title=f"{seconds:g} s with {pending:,} pending and nothing due",
        columns=("", "CPU ms a second", "statements"),
        rows=[
            [name, f"{used / seconds * 1000:.2f}", str(sum(calls for _, calls, _ in statements)) if not number else "-"]
            for number, (name, used) in enumerate(cpu.items())
        ],
        note="A sweep each 10 s asks Redis alone; reconciling, once a minute, asks the database. One round.",
        data=[
            {
                "pending": pending,
                "seconds": seconds,
                "cpu": cpu,
                "statements": [{"sql": sql, "calls": calls, "ms": spent} for sql, calls, spent in statements],
            }
        ],
    )


MEASURE = Measure("idle", "what it costs when nothing falls due", steps, run)
