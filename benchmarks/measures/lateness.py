"""Lateness: how long after its deadline the expiry of an order is committed, with a sweep every 10 s.

Orders fall due one after another, or all at the same time, as orders with rounded deadlines do. All are scheduled
before the processes start, well before they are due, like orders that have half an hour to be paid. The deadline and
the time of the commit are both from the database's clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contender import Bench
from benchmarks.lab import Lab, Measure, Result, percentile, spread
from benchmarks.orders_table import OrdersTable
from benchmarks.ours import ONE_TASK


@dataclass(frozen=True)
class Load:
    """How orders fall due."""

    name: str
    orders: int
    """Number of orders; for a rate, orders per second."""
    is_rate: bool

    def total(self, seconds: float) -> int:
        """Return how many orders fall due in this many seconds."""
        return round(self.orders * seconds) if self.is_rate else self.orders

    @property
    def apart(self) -> float:
        """Return the seconds from one deadline to the next."""
        return 1 / self.orders if self.is_rate else 0.0


LOADS = (
    Load("100 a second", 100, is_rate=True),
    Load("500 a second", 500, is_rate=True),
    Load("15 at once", 15, is_rate=False),
    Load("2,000 at once", 2_000, is_rate=False),
)

LEAD = 10.0
"""Seconds from placing the orders to the first deadline. By then the processes have started and swept once."""

WARM_UP = 20
"""Orders that are due 4 s before the others, and do not count: the first orders after a worker's start take longer."""

SECONDS, QUICK_SECONDS = 15.0, 5.0
"""Seconds in which orders fall due. The first is longer than a sweep interval, so it contains a sweep."""

PATIENCE = 12.0
"""Seconds to wait after the last deadline: the next sweep finds what one sweep missed."""

ROUNDS = 2
"""The maximum number of rounds."""


def steps(lab: Lab) -> int:
    """Return the number of rounds."""
    return len(LOADS) * min(lab.rounds, ROUNDS)


def run(lab: Lab) -> Sequence[Result]:
    """Let orders fall due, and measure how late they expire."""
    data = []
    for load in LOADS:
        for number in range(min(lab.rounds, ROUNDS)):
            lab.step(f"lateness, {load.name}: round {number + 1}")
            data.append(_round(lab, load))
    return [
        Result(
            name="lateness",
            title="Lateness, a sweep every 10 s",
            columns=("fall due", "orders", "p50 ms", "p99 ms", "max ms", "expired"),
            rows=[_row(load, [round_ for round_ in data if round_["load"] == load.name]) for load in LOADS],
            note=(
                "From the deadline to the commit of the expiry. A sweeper and two workers, with all defaults. At once: "
                "all with the same deadline."
            ),
            data=data,
        )
    ]


def _round(lab: Lab, load: Load) -> dict[str, Any]:
    seconds = QUICK_SECONDS if lab.quick else SECONDS
    number = load.total(seconds)
    with (
        lab.servers.database() as database_url,
        lab.servers.redis() as redis,
        lab.servers.workplace() as folder,
        OrdersTable(database_url) as table,
    ):
        bench = Bench(redis.url, database_url, folder, Path(sys.executable))
        table.place(WARM_UP + number, due=LEAD, apart=load.apart, ahead=WARM_UP)
        give_up = time.monotonic() + LEAD + number * load.apart + PATIENCE
        ONE_TASK.fill(bench, WARM_UP + number)
        with ONE_TASK.run(bench):
            while table.first_pending() is not None and time.monotonic() < give_up:
                time.sleep(0.2)
        audit, late = table.audit(), [1000 * second for second in table.lateness(after=WARM_UP)]
    return {
        "load": load.name,
        "orders": number,
        "p50": percentile(late, 0.5),
        "p99": percentile(late, 0.99),
        "max": percentile(late, 1.0),
        "shares": {share: percentile(late, share / 1000) for share in (*range(0, 1000, 5), 999)},
        "is_right": audit.is_right,
        "audit": asdict(audit),
    }


def _row(load: Load, rounds: Sequence[dict[str, Any]]) -> list[str]:
    wrong = [round_ for round_ in rounds if not round_["is_right"]]
    told = [", ".join(f"{round_['audit'][what]} {what}" for what in ("left", "doubled", "early")) for round_ in wrong]
    return [
        *(load.name, f"{rounds[0]['orders']:,}"),
        *(spread((round_[name] for round_ in rounds), ",.1f") for name in ("p50", "p99", "max")),
        "; ".join(told) or "each once",
    ]


MEASURE = Measure("lateness", "how long after its deadline an order is expired", steps, run)
