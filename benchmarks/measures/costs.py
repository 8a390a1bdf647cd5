"""Costs: the CPU time of each part of a drain, run alone. They are the input of the model of larger deployments.

A part is a process of the project that does one thing while everything else is idle: a sweep without workers, or a
worker whose queue was filled before. The schedule, the broker and the database are three servers, so the cost of each
is known. The measure is CPU time, not elapsed time, because CPU time can be added up for other machines.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks import processes
from benchmarks.contender import Bench
from benchmarks.lab import Lab, Measure, Result, spread
from benchmarks.orders_table import POLL, OrdersTable
from benchmarks.ours import (
    BATCHES,
    BATCHES_WITH_EVENTS_TABLE,
    ONE_TASK,
    ONE_TASK_QUIET,
    ONE_TASK_WITHOUT_EVENTS,
    ThisProject,
)
from benchmarks.parts import redis_seconds
from benchmarks.processes import ROOT, cpu_seconds
from orders.config.settings import PREFIX

SMALL = replace(BATCHES, name="this project, batches of 50", batch_size=50)
WORKERS = (ONE_TASK, ONE_TASK_WITHOUT_EVENTS, ONE_TASK_QUIET, SMALL, BATCHES, BATCHES_WITH_EVENTS_TABLE)
SINGLE, QUICK_SINGLE = 8_000, 4_000
"""Orders with a task each; no more than the queue may hold (ORDERS_MAX_BACKLOG)."""
BATCHED, QUICK_BATCHED = 200_000, 30_000
ENQUEUED = 4_000
LOOKAHEAD = 60.0
"""Seconds that a sweep looks ahead; the default is 10. So a worker has time to take messages before they are due."""
LIMIT = 180.0
"""Seconds that a part may take, on a machine that may be busy with other work."""


@dataclass(frozen=True)
class _Place:
    """The servers of a part."""

    bench: Bench
    broker_url: str
    postmaster: int
    table: OrdersTable
    variant: ThisProject

    @property
    def environment(self) -> dict[str, str]:
        """The project's settings, as environment variables."""
        size = {f"{PREFIX}BATCH_SIZE": str(self.variant.batch_size)} if self.variant.batch_size else {}
        return {
            **size,
            f"{PREFIX}LOOKAHEAD": str(LOOKAHEAD),
            f"{PREFIX}REDIS_URL": self.bench.redis_url,
            f"{PREFIX}BROKER_URL": self.broker_url,
            f"{PREFIX}DATABASE_URL": self.bench.database_url,
        }

    def part(self, *arguments: object) -> dict[str, float]:
        """Run a part of `benchmarks.parts`; return the figures that it prints."""
        log = self.bench.folder / "part.log"
        command: list[str | Path] = [self.bench.python, "-m", "benchmarks.parts", *map(str, arguments)]
        process = processes.start(command, log=log, PYTHONPATH=str(ROOT), **self.environment)
        with processes.stopped_at_end([process]):
            if process.wait(LIMIT) != 0:
                raise RuntimeError(f"benchmarks.parts {' '.join(map(str, arguments))}: {log.read_text()[-500:]}")
        found: dict[str, float] = json.loads(log.read_text().splitlines()[-1])
        log.unlink()
        return found

    def start(self) -> subprocess.Popen[bytes]:
        """Start a worker."""
        (self.bench.folder / "celeryconfig.py").write_text(self.variant.celeryconfig)
        command = self.variant.worker(self.bench)
        return processes.start(command, log=self.bench.folder / "worker.log", **self.environment)


@contextmanager
def _placed(lab: Lab, orders: int, variant: ThisProject = ONE_TASK_QUIET, *, due: float = -3600.0) -> Iterator[_Place]:
    """Start servers with this many scheduled orders. *due*: seconds until the first of them is due."""
    with (
        lab.servers.database() as database_url,
        lab.servers.redis() as schedule,
        lab.servers.redis() as broker,
        lab.servers.workplace() as folder,
        OrdersTable(database_url) as table,
    ):
        bench = Bench(schedule.url, database_url, folder, Path(sys.executable))
        table.place(orders, due=due)
        variant.fill(bench, orders)
        yield _Place(bench, broker.url, lab.servers.postgres_pid, table, variant)


def _sweep(lab: Lab, orders: int) -> dict[str, float]:
    with _placed(lab, orders) as place:
        return place.part("sweep")


def _enqueue(lab: Lab) -> dict[str, float]:
    with _placed(lab, 1) as place:
        return place.part("enqueue", ENQUEUED)


def _commits(lab: Lab) -> dict[str, float]:
    with _placed(lab, 1) as place:
        return place.part("commits")


def _worker(lab: Lab, variant: ThisProject, orders: int) -> dict[str, float]:
    """Let one worker empty a queue that was filled before."""
    with _placed(lab, orders, variant) as place:
        messages = place.part("sweep")["messages"]
        worker = place.start()
        clocks: dict[str, Callable[[], float]] = {
            "worker": lambda: cpu_seconds([worker.pid]),
            "schedule": partial(redis_seconds, place.bench.redis_url),
            "broker": partial(redis_seconds, place.broker_url),
            "database": lambda: cpu_seconds([place.postmaster]),
            "wal_bytes": place.table.wal_bytes,
        }
        with processes.stopped_at_end([worker]):
            _until(lambda: place.table.first_pending() != 1, worker)
            first, start = place.table.first_pending() or 1, {name: clock() for name, clock in clocks.items()}
            _until(lambda: place.table.first_pending() is None, worker)
            used = {name: clock() - start[name] for name, clock in clocks.items()}
        audit = place.table.audit()
        if not audit.is_right:
            raise RuntimeError(f"{variant.name}: {audit}")
    share = 1 - (first - 1) / orders  # of the orders that are left: they expire nearly in order of their ids
    return {
        "orders": orders * share,
        "messages": messages * share,
        "attempts": audit.transactions * share,
        "start": start["worker"],
        "rate": audit.rate,
        **used,
    }


def _held(lab: Lab, orders: int) -> dict[str, float]:
    """Let one worker take messages that are due later, and keep them."""
    with _placed(lab, orders, due=LOOKAHEAD - 10.0) as place, closing(Redis.from_url(place.broker_url)) as broker:
        place.part("sweep")
        worker = place.start()
        with processes.stopped_at_end([worker]):
            _until(lambda: int(broker.llen("orders.expire")) < orders, worker)
            left, before = int(broker.llen("orders.expire")), cpu_seconds([worker.pid])
            _until(lambda: not broker.llen("orders.expire"), worker)
            return {"orders": left, "messages": left, "worker": cpu_seconds([worker.pid]) - before}


def _until(happens: Callable[[], bool], worker: subprocess.Popen[bytes]) -> None:
    """Wait until a condition holds.

    Raises:
        RuntimeError: the worker has ended, or `LIMIT` has passed.
    """
    give_up = time.monotonic() + LIMIT
    while not happens():
        if worker.poll() is not None or time.monotonic() > give_up:
            raise RuntimeError("the worker has ended, or has not done in time what it was to do")
        time.sleep(POLL)


def _parts(lab: Lab) -> dict[str, Callable[[], dict[str, float]]]:
    """Return the parts, by their names in the table."""
    single, batched = (QUICK_SINGLE, QUICK_BATCHED) if lab.quick else (SINGLE, BATCHED)

    def orders(variant: ThisProject) -> int:
        if variant is SMALL:
            return batched // 2  # still enough that a sweep sends batches
        return batched if variant.shape == "batches" else single

    return {
        "sweep, a task for each order": partial(_sweep, lab, single),
        "sweep, batches of 500": partial(_sweep, lab, batched),
        **{
            f"worker, {variant.name.removeprefix('this project, ')}": partial(_worker, lab, variant, orders(variant))
            for variant in WORKERS
        },
        "worker, messages due later": partial(_held, lab, single),
        "enqueue, one by one": partial(_enqueue, lab),
        "commit": partial(_commits, lab),
    }


def steps(lab: Lab) -> int:
    """Return the number of parts to measure, in all rounds."""
    return lab.rounds * len(_parts(lab))


def run(lab: Lab) -> Sequence[Result]:
    """Measure each part in each round."""
    data: list[dict[str, Any]] = []
    for number in range(lab.rounds):
        for name, part in _parts(lab).items():
            lab.step(f"costs: {name}, round {number + 1}")
            data.append({"part": name, **part()})
    names = dict.fromkeys(found["part"] for found in data if "orders" in found)
    return [
        Result(
            name="costs",
            title="CPU time of each part by itself, µs per order",
            columns=("", "process", "schedule", "broker", "PostgreSQL", "orders per attempt"),
            rows=[_row(name, [found for found in data if found["part"] == name]) for name in names],
            note="Schedule and broker are two servers here. What `python -m benchmarks.model` is fed with.",
            data=data,
        )
    ]


def _row(name: str, rounds: Sequence[dict[str, Any]]) -> list[str]:
    def told(*servers: str) -> str:
        known = [found[server] * 1e6 / found["orders"] for found in rounds for server in servers if server in found]
        return spread(known, ",.1f")

    sizes = spread((found["orders"] / found["attempts"] for found in rounds if "attempts" in found), ",.0f")
    return [name, told("sweeper", "worker", "client"), told("schedule"), told("broker"), told("database"), sizes]


MEASURE = Measure("costs", "the CPU time of each part of a drain by itself, for the model", steps, run)
