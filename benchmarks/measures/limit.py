"""The limit: how fast the parts of a drain are by themselves on this machine, without Celery between them."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from redis import Redis

from benchmarks.contender import Bench, Shape
from benchmarks.lab import Lab, Measure, Result, spread
from benchmarks.polling import claims
from benchmarks.rounds import Round, drain
from benchmarks.sql_pollers import polling, zadd

ORDERS, QUICK_ORDERS = 200_000, 50_000


@dataclass(frozen=True)
class Updates:
    """Bare updates of 500 ids each."""

    connections: int
    orders: int
    version: str = "psycopg"
    shape: Shape = "batches"
    note: str = "benchmarks/polling.py: update"

    @property
    def name(self) -> str:
        """The name, with the number of connections."""
        return f"UPDATE of 500 ids, {self.connections} connection{'s'[: self.connections > 1]}"

    def fill(self, bench: Bench, orders: int) -> None:
        """Do nothing: the processes know the ids."""

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start a process for each connection."""
        arguments = ["update", bench.database_url, str(self.orders), str(self.connections)]
        with polling(bench, arguments, number=self.connections) as started:
            yield started


@dataclass(frozen=True)
class Loop:
    """Claim, update and remove in one loop."""

    connections: int
    version: str = "redis-py, psycopg"
    shape: Shape = "batches"
    note: str = "benchmarks/polling.py: loop"

    @property
    def name(self) -> str:
        """The name, with the number of connections."""
        return f"claim, UPDATE, ZREM in one loop, {self.connections} connection{'s'[: self.connections > 1]}"

    def fill(self, bench: Bench, orders: int) -> None:
        """Add the ids to the sorted set."""
        zadd(bench, "orders", orders)

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start a process for each connection."""
        with polling(bench, ["loop", bench.database_url, bench.redis_url], number=self.connections) as started:
            yield started


def _limits(lab: Lab) -> tuple[Updates | Loop, ...]:
    orders = QUICK_ORDERS if lab.quick else ORDERS
    return Updates(1, orders), Updates(2, orders), Loop(1), Loop(2)


def steps(lab: Lab) -> int:
    """Return the number of rounds."""
    return lab.rounds * (1 + len(_limits(lab)))


def run(lab: Lab) -> Sequence[Result]:
    """Measure bare claims, then a drain with each limit."""
    orders = QUICK_ORDERS if lab.quick else ORDERS
    rates, rounds = [], []
    for number in range(lab.rounds):
        lab.step(f"bare claims: round {number + 1}")
        rates.append(_claims(lab, orders))
        for contender in _limits(lab):
            lab.step(f"{contender.name}: round {number + 1}")
            rounds.append(drain(lab.servers, contender, orders))
    names = dict.fromkeys(round_.contender for round_ in rounds)
    return [
        Result(
            name="limit",
            title="What the parts can do by themselves",
            columns=("", "orders/s", "PostgreSQL µs", "expired"),
            rows=[
                ["claims of 1,000 ids by claim.lua, 1 connection", spread(rates), "-", "-"],
                *(_row(name, [round_ for round_ in rounds if round_.contender == name]) for name in names),
            ],
            note="µs: CPU time per order. Each connection has a process of its own.",
            data=[{"claims": rates}, *({**asdict(round_), "verdict": round_.verdict} for round_ in rounds)],
        )
    ]


def _claims(lab: Lab, orders: int) -> float:
    """Return the number of ids claimed per second."""
    with lab.servers.redis() as server, Redis.from_url(server.url) as redis:
        for first in range(1, orders + 1, 1000):
            redis.zadd("orders", {str(order_id): 1e9 + order_id for order_id in range(first, first + 1000)})
        began = time.perf_counter()
        claimed = sum(map(len, claims(redis)))
        return claimed / (time.perf_counter() - began)


def _row(name: str, rounds: Sequence[Round]) -> list[str]:
    cpu = [round_.postgres_cpu * 1e6 / round_.orders for round_ in rounds]
    wrong = [round_.verdict for round_ in rounds if not round_.is_right]
    rates = spread(round_.audit.rate for round_ in rounds if round_.audit)
    return [name, rates, spread(cpu, ",.1f"), "; ".join(wrong) or "each once"]


MEASURE = Measure("limit", "what Redis and PostgreSQL can do by themselves", steps, run)
