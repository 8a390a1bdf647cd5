"""Distance: the drain when the workers, Redis and PostgreSQL are on separate machines, 1 ms apart.

A proxy in front of each server delays all data, in both directions (benchmarks/proxy.py). Each contender is measured
behind the proxies twice, without a delay and with it. Both rates include the cost of the proxies, so they differ only
in the distance.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.contender import Bench, Contender, Shape
from benchmarks.distance import Distance
from benchmarks.lab import Lab, Measure, Result, spread
from benchmarks.measures.drain import contenders
from benchmarks.rounds import Round, drain

NONE, DELAYED = Distance(0.0), Distance(0.0005)
"""Half a millisecond in each direction, so 1 ms for a request and its answer."""

TAKING_PART = (
    *("this project, one task per order", "this project, batches", "Huey", "Dramatiq", "PGQueuer", "BullMQ"),
    "FOR UPDATE SKIP LOCKED by id, 2,000 at a time",
)
"""Contenders that wait in threads, in coroutines and in processes, and one that hardly waits."""

ORDERS: dict[Shape, tuple[int, int]] = {"one job per order": (3_000, 500), "batches": (200_000, 30_000)}
"""Orders per round, in a full run and in a quick one."""

ROUNDS = 2
"""The maximum number of rounds."""

PINGS = 500


def steps(lab: Lab) -> int:
    """Return the number of rounds, plus one step for the ping."""
    return 1 + 2 * len(_contenders(lab)) * min(lab.rounds, ROUNDS)


def run(lab: Lab) -> Sequence[Result]:
    """Ping through the proxy, then drain through it."""
    lab.step("distance: pings")
    pings = _pings(lab)
    rounds: list[tuple[Distance, Round]] = []
    for number in range(min(lab.rounds, ROUNDS)):
        for contender in _contenders(lab):
            for distance in (NONE, DELAYED):
                lab.step(f"{contender.name}, {2000 * distance.seconds:g} ms: round {number + 1}")
                orders = ORDERS[contender.shape][lab.quick]
                rounds.append((distance, drain(lab.servers, contender, orders, distance=distance)))
    names = dict.fromkeys(round_.contender for _, round_ in rounds)
    return [
        Result(
            name="distance",
            title="Drain with 1 ms between machines",
            columns=("", "orders", "orders/s at 0 ms", "orders/s at 1 ms", "of it", "proxy µs", "expired"),
            rows=[_row([(distance, found) for distance, found in rounds if found.contender == name]) for name in names],
            note=(
                "Both through the proxy. µs: its CPU time per order, at 1 ms. A PING takes "
                f"{pings['direct']:.2f} ms without the proxy, {pings['none']:.2f} ms through it, and "
                f"{pings['delayed']:.2f} ms with the delay."
            ),
            data=[
                {"pings": pings},
                *({**asdict(found), "is_right": found.is_right, "ms": 2000 * far.seconds} for far, found in rounds),
            ],
        )
    ]


def _contenders(lab: Lab) -> list[Contender]:
    return [contender for contender in contenders(lab) if contender.name in TAKING_PART]


def _pings(lab: Lab) -> dict[str, float]:
    """Return the median milliseconds of a PING, without a delay and with it: the distance as measured here."""
    found = {}
    with lab.servers.database() as database_url, lab.servers.redis() as redis, lab.servers.workplace() as folder:
        bench = Bench(redis.url, database_url, folder, Path(sys.executable))
        for name, distance in {"direct": None, "none": NONE, "delayed": DELAYED}.items():
            with (
                distance.between(bench) if distance else nullcontext((bench, ())) as (seen, _),
                Redis.from_url(seen.redis_url) as client,
            ):
                client.ping()
                found[name] = statistics.median(_ping(client) for _ in range(PINGS))
    return found


def _ping(client: Redis) -> float:
    before = time.perf_counter()
    client.ping()
    return 1000 * (time.perf_counter() - before)


def _row(rounds: Sequence[tuple[Distance, Round]]) -> list[str]:
    rates: dict[Distance, list[float]] = {
        wanted: [found.audit.rate for distance, found in rounds if distance == wanted and found.audit]
        for wanted in (NONE, DELAYED)
    }
    share = "-"
    if all(rates.values()) and (without := statistics.median(rates[NONE])):
        share = f"{statistics.median(rates[DELAYED]) / without:.2f}"
    wrong: list[str] = [found.verdict for _, found in rounds if not found.is_right]
    costs: list[Any] = [found.proxy_cpu * 1e6 / found.orders for distance, found in rounds if distance == DELAYED]
    return [
        *(rounds[0][1].contender, f"{rounds[0][1].orders:,}", spread(rates[NONE]), spread(rates[DELAYED]), share),
        spread(costs),
        f"{len(wrong)} of {len(rounds)} rounds: {wrong[0]}" if wrong else "each once",
    ]


MEASURE = Measure("distance", "how fast they are expired with 1 ms between machines", steps, run)
