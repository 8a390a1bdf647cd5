"""Flower in a flood: a real Flower listens while 100,000 orders are expired, with a task for each.

By default such a flood is sent in batches. Here it is not, so that each order has its three events. That is the largest
load for Flower, and for Redis, which buffers the events that Flower has not read yet.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import psutil
from redis import Redis

from benchmarks import processes
from benchmarks.contender import Bench
from benchmarks.lab import Lab, Measure, Result
from benchmarks.orders_table import OrdersTable
from benchmarks.ours import ONE_TASK
from orders.embedded import free_port

ORDERS, QUICK_ORDERS = 100_000, 5_000

FLOOD = replace(
    ONE_TASK,
    settings=(("BATCH_THRESHOLD", "1000000"),),  # a task for each order, however many are due
)

START_LIMIT = 30.0
"""Seconds that Flower has to start."""

DRAIN_LIMIT = 420.0
"""Seconds that the drain may take."""

PATIENCE = 15.0
"""After the drain: seconds without a new event after which the other events count as lost."""

CATCH_UP_LIMIT = 300.0
"""Seconds that Flower has to read all events."""

PAUSE = 0.1
"""Seconds between two polls of the drain, Redis and Flower."""

SEEN = re.compile(
    r'^flower_events_total\{(?=[^}]*task="orders\.expire")[^}]*type="task-succeeded"[^}]*\} (\S+)', re.MULTILINE
)
"""Matches the number of tasks that Flower has counted as done, for each worker."""

CUT = "overcoming of output buffer limits"
"""What Redis logs when it closes a connection because the client reads too slowly."""


@dataclass
class _Flower:
    """Flower's process, and what was measured of it."""

    pid: int
    url: str
    idle_cpu: float = 0.0
    """CPU seconds that its start used."""
    rss: int = 0

    def look(self) -> None:
        """Record its memory."""
        with suppress(psutil.NoSuchProcess):
            self.rss = max(self.rss, psutil.Process(self.pid).memory_info().rss)

    def seen(self) -> int:
        """Return how many expiries Flower has counted."""
        with urlopen(f"{self.url}/metrics", timeout=60) as answer:  # noqa: S310 - our own server, on loopback
            return round(sum(map(float, SEEN.findall(answer.read().decode()))))


def steps(_: Lab) -> int:
    """Return 2: without Flower and with it."""
    return 2


def run(lab: Lab) -> Sequence[Result]:
    """Drain without Flower, and with it."""
    orders = QUICK_ORDERS if lab.quick else ORDERS
    data = []
    for attached in (False, True):
        lab.step(f"flower: {orders:,} orders {'with' if attached else 'without'} it")
        data.append(_round(lab, orders, attached=attached))
    return [
        Result(
            name="flower",
            title=f"{orders:,} orders with a task each, with Flower and without",
            columns=(
                *("", "orders/s", "Redis MB", "pub/sub MB", "connections cut", "Flower's lag s", "it has seen"),
                *("Flower MB", "Flower µs", "expired"),
            ),
            rows=[_row(found) for found in data],
            note=(
                "MB: at their peak; pub/sub is what Redis holds for the client that is furthest behind. Lag: from the "
                "last commit until Flower has counted all tasks as done. µs: CPU time per order. One round each."
            ),
            data=data,
        )
    ]


def _round(lab: Lab, orders: int, *, attached: bool) -> dict[str, Any]:
    with (
        lab.servers.database() as database_url,
        lab.servers.redis() as redis,
        lab.servers.workplace() as folder,
        OrdersTable(database_url) as table,
        Redis.from_url(redis.url, decode_responses=True) as client,
    ):
        bench = Bench(redis.url, database_url, folder, Path(sys.executable))
        table.place(orders)
        FLOOD.fill(bench, orders)
        with _flower(bench) if attached else _none() as flower:
            with FLOOD.run(bench):
                omem = _watch(table, client, flower)
                # The workers run until Flower has everything: they send buffered events within 50 ms.
                caught_up = _catch_up(flower, client, orders) if flower else {}
            peak = client.info("memory")["used_memory_peak"]
        audit = table.audit()
        cut = (redis.folder / "redis.log").read_text(errors="replace").count(CUT)
    omem = max(omem, caught_up.get("omem", 0))
    return {
        "attached": attached,
        "orders": orders,
        "redis_peak": peak,
        "omem": omem,
        "cut": cut,
        **caught_up,
        "is_right": audit.is_right,
        "audit": asdict(audit),
    }


@contextmanager
def _flower(bench: Bench) -> Iterator[_Flower]:
    """Start Flower as the Procfile does, and wait until it answers."""
    (bench.folder / "celeryconfig.py").write_text(FLOOD.celeryconfig)
    port = free_port()
    command = [str(bench.python), "-m", "celery", "-A", "tasks", "flower", "--address=127.0.0.1", f"--port={port}"]
    process = processes.start(command, log=bench.folder / "flower.log", **FLOOD.environment(bench))
    flower = _Flower(process.pid, f"http://127.0.0.1:{port}")
    with processes.stopped_at_end([process]):
        give_up = time.monotonic() + START_LIMIT
        while process.poll() is None and time.monotonic() < give_up:
            with suppress(OSError):
                flower.seen()
                break
            time.sleep(PAUSE)
        else:
            raise RuntimeError(f"Flower did not start: {(bench.folder / 'flower.log').read_text()[-500:]}")
        flower.idle_cpu = processes.cpu_seconds([process.pid])
        yield flower


@contextmanager
def _none() -> Iterator[None]:
    yield None


def _watch(table: OrdersTable, client: Redis, flower: _Flower | None) -> int:
    """Wait until no order is pending; return the most bytes that Redis buffered for a subscriber."""
    give_up, omem = time.monotonic() + DRAIN_LIMIT, 0
    while table.first_pending() is not None and time.monotonic() < give_up:
        omem = max(omem, _held(client))
        if flower:
            flower.look()
        time.sleep(PAUSE)
    return omem


def _catch_up(flower: _Flower, client: Redis, orders: int) -> dict[str, float]:
    """Wait until Flower has counted all tasks or stops counting; return its lag, memory and CPU time."""
    began = changed = time.monotonic()
    seen = omem = 0
    while seen < orders and time.monotonic() < min(changed + PATIENCE, began + CATCH_UP_LIMIT):
        omem = max(omem, _held(client))
        flower.look()
        if (now := flower.seen()) != seen:
            seen, changed = now, time.monotonic()
        time.sleep(PAUSE)
    return {
        "lag": changed - began,
        "seen": seen,
        "omem": omem,
        "rss": flower.rss,
        "cpu": processes.cpu_seconds([flower.pid]) - flower.idle_cpu,
    }


def _held(client: Redis) -> int:
    return max((int(subscriber["omem"]) for subscriber in client.client_list(_type="pubsub")), default=0)


def _row(found: dict[str, Any]) -> list[str]:
    audit = found["audit"]
    verdict = "each once" if found["is_right"] else f"{audit['left']} left, {audit['doubled']} doubled"
    told = [
        f"{audit['rate']:,.0f}",
        f"{found['redis_peak'] / 1e6:,.0f}",
        f"{found['omem'] / 1e6:,.1f}",
        f"{found['cut']}",
    ]
    if not found["attached"]:
        return ["without Flower", *told, "-", "-", "-", "-", verdict]
    lag = f"{found['lag']:.1f}" if found["seen"] >= found["orders"] else "never"
    costs = [f"{found['rss'] / 1e6:,.0f}", f"{found['cpu'] * 1e6 / found['orders']:,.0f}"]
    return ["with Flower", *told, lag, f"{found['seen']:,}", *costs, verdict]


MEASURE = Measure("flower", "what Flower costs, and how late it is, while 100,000 orders have a task each", steps, run)
