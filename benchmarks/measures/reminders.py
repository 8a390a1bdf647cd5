"""Reminders: how long after its time a reminder is recorded, and its handler called, with a sweep every 10 s.

As in `lateness`, all orders are scheduled well before. The time of a reminder, of its event and of the delivery are all
from the database's clock.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import psycopg

from benchmarks.contender import Bench
from benchmarks.lab import Lab, Measure, Result, percentile
from benchmarks.measures.lateness import LEAD, PATIENCE
from benchmarks.orders_table import OrdersTable
from benchmarks.ours import ONE_TASK
from benchmarks.servers import url_for_psycopg

BEFORE = 60
"""Seconds before the deadline."""

RATE = 100
"""Reminders per second."""

SECONDS, QUICK_SECONDS = 60.0, 10.0
"""Seconds in which reminders come."""

HOOKS = """
import orders

@orders.on_event
def handle(event):
    pass
"""

CONTENDER = replace(ONE_TASK, events_table=True, settings=(("REMIND", f"{BEFORE}s"), ("HOOKS", "reminding")))

LATE = """
SELECT extract(epoch FROM event.at - expires_at)::float8 + %(before)s,
    extract(epoch FROM event.delivered_at - expires_at)::float8 + %(before)s
FROM order_events AS event JOIN orders ON orders.id::text = event.order_id WHERE event.kind = 'reminder'
"""


def steps(_: Lab) -> int:
    """Return the number of rounds."""
    return 1


def run(lab: Lab) -> Sequence[Result]:
    """Let reminders come, and measure how late they are."""
    lab.step(f"reminders, {RATE} a second")
    number = round(RATE * (QUICK_SECONDS if lab.quick else SECONDS))
    with (
        lab.servers.database() as database_url,
        lab.servers.redis() as redis,
        lab.servers.workplace() as folder,
        OrdersTable(database_url) as table,
        psycopg.connect(url_for_psycopg(database_url), autocommit=True) as connection,
    ):
        (folder / "reminding.py").write_text(HOOKS)
        bench = Bench(redis.url, database_url, folder, Path(sys.executable))
        table.place(number, due=LEAD + BEFORE, apart=1 / RATE)
        give_up = time.monotonic() + LEAD + number / RATE + 2 * PATIENCE
        CONTENDER.fill(bench, number)
        waiting = "SELECT count(*) FROM order_events WHERE kind = 'reminder' AND delivered_at IS NOT NULL"
        with CONTENDER.run(bench):
            while time.monotonic() < give_up and (connection.execute(waiting).fetchone() or [0])[0] < number:
                time.sleep(1)
        found = [(1000 * recorded, delivered) for recorded, delivered in connection.execute(LATE, {"before": BEFORE})]
    return [_result(number, found)]


def _result(number: int, found: Sequence[tuple[float, float | None]]) -> Result:
    recorded = sorted(milliseconds for milliseconds, _ in found)
    delivered = sorted(seconds for _, seconds in found if seconds is not None)
    figures = {
        "p50 ms": percentile(recorded, 0.5),
        "p99 ms": percentile(recorded, 0.99),
        "max ms": percentile(recorded, 1.0),
        "delivered p50 s": percentile(delivered, 0.5),
        "p99 s": percentile(delivered, 0.99),
    }
    return Result(
        name="reminders",
        title="Lateness of reminders, a sweep and a delivery every 10 s",
        columns=("come", "orders", *figures, "recorded"),
        rows=[[f"{RATE} a second", f"{number:,}", *(f"{each:,.1f}" for each in figures.values()), f"{len(found):,}"]],
        note="From the time of the reminder to its event, and to the end of its delivery to a handler.",
        data=[{"orders": number, "recorded": len(found), **figures}],
    )


MEASURE = Measure("reminders", "how late a reminder is recorded and delivered", steps, run)
