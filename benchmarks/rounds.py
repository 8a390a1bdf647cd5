"""One round of the drain: how fast a contender expires orders that are all overdue, and whether exactly once."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import Bench, Contender, Shape
from benchmarks.distance import Distance
from benchmarks.orders_table import POLL, Audit, OrdersTable
from benchmarks.processes import cpu_seconds
from benchmarks.servers import Servers

START_LIMIT = 30.0
"""Seconds that a contender has to expire its first order, from the start of its processes."""

LIMIT = 30.0
"""Seconds that it has after its first order. The orders that are then left are reported."""


@dataclass(frozen=True)
class Round:
    """What a contender did in one round."""

    contender: str
    version: str
    shape: Shape
    note: str
    orders: int
    audit: Audit | None
    """None if the contender failed before the audit."""
    postgres_cpu: float
    """CPU seconds of all processes of PostgreSQL, from the start of the contender's processes to the last expiry."""
    redis_cpu: float
    """CPU seconds of Redis, in the same time."""
    workers_cpu: float
    """CPU seconds of the contender's processes, from the first expiry (seen within 20 ms) to the last."""
    error: str | None
    """Why it failed."""
    proxy_cpu: float = 0.0
    """CPU seconds of the proxies from the start of the contender's processes, if there is a distance."""

    @property
    def is_right(self) -> bool:
        """Whether every order was expired exactly once, and in time."""
        return self.error is None and self.audit is not None and self.audit.is_right

    @property
    def verdict(self) -> str:
        """The verdict for a table."""
        if self.audit is None:
            return f"failed: {self.error}"
        wrong = {"left": self.audit.left, "doubled": self.audit.doubled, "early": self.audit.early}
        told = ", ".join(f"{number:,} {what}" for what, number in wrong.items() if number)
        return "; ".join(filter(None, [told, self.error])) or "each once"


@dataclass
class _Run:
    """What is measured while a contender runs."""

    postgres_cpu: float = 0.0
    redis_cpu: float = 0.0
    workers_cpu: float = 0.0
    error: str | None = None
    proxy_cpu: float = 0.0


def drain(servers: Servers, contender: Contender, orders: int, *, distance: Distance | None = None) -> Round:
    """Let a contender expire orders that are all overdue. Whatever it does, this returns within about 90 seconds.

    Args:
        servers: the servers to use.
        contender: the contender to measure.
        orders: number of orders.
        distance: the distance between its processes and the servers, if any. Jobs are queued without it.
    """
    run, audit = _Run(), None
    with servers.database() as database_url, servers.redis() as redis, servers.workplace() as folder:
        bench = Bench(redis.url, database_url, folder, Path(sys.executable))
        with OrdersTable(database_url) as table:
            table.place(orders)
            try:
                contender.fill(bench, orders)
                with distance.between(bench) if distance else nullcontext((bench, ())) as (seen, proxies):
                    table.release()
                    idle = cpu_seconds(proxies)
                    _watch(run, table, contender, seen, roots=(servers.postgres_pid, redis.pid))
                    run.proxy_cpu = cpu_seconds(proxies) - idle
                audit = table.audit()
            except Exception as error:  # noqa: BLE001 - a failed contender is a result, and does not end the run
                run.error = f"{type(error).__name__}: {error}"
    return Round(
        contender.name,
        _version(contender),
        contender.shape,
        contender.note,
        orders,
        audit,
        run.postgres_cpu,
        run.redis_cpu,
        run.workers_cpu,
        run.error,
        run.proxy_cpu,
    )


def _watch(run: _Run, table: OrdersTable, contender: Contender, bench: Bench, *, roots: tuple[int, int]) -> None:
    """Start a contender. Wait until no order is pending, the time is up, or its processes have ended."""
    before = [cpu_seconds([root]) for root in roots]
    first = table.first_pending()
    began, give_up = False, time.monotonic() + START_LIMIT
    with contender.run(bench) as workers:
        pids = [worker.pid for worker in workers]
        idle = 0.0
        while (pending := table.first_pending()) is not None:
            if not began and pending != first:
                began, give_up = True, time.monotonic() + LIMIT
                idle = cpu_seconds(pids)
            if time.monotonic() >= give_up:
                run.error = "time is up" if began else f"nothing was expired in {START_LIMIT:g} s"
                break
            if _have_ended(workers):
                run.error = "its processes have ended"
                break
            time.sleep(POLL)
        run.workers_cpu = cpu_seconds(pids) - idle if began else 0.0
        run.postgres_cpu, run.redis_cpu = (cpu_seconds([root]) - past for root, past in zip(roots, before, strict=True))
    if run.error:
        run.error += _last_words(bench.folder)


def _version(contender: Contender) -> str:
    try:
        return contender.version
    except Exception as error:  # noqa: BLE001 - it is not installed, which the round reports
        return f"none: {error}"


def _have_ended(workers: Sequence[subprocess.Popen[bytes]]) -> bool:
    return all(worker.poll() is not None for worker in workers)


def _last_words(folder: Path) -> str:
    """Return the last line of each log."""
    words = [(log.name, log.read_text(errors="replace").rstrip().rpartition("\n")[2]) for log in folder.glob("*.log")]
    return "".join(f"; {name}: {line[:200]}" for name, line in sorted(words) if line)
