"""The drain: how fast each contender expires orders that are all overdue, and at what cost in CPU time.

The contenders take turns, one round each and then the next, so that other load on the machine affects all alike.
"""

from __future__ import annotations

import importlib
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from benchmarks.contender import Contender, Shape
from benchmarks.lab import Lab, Measure, Result, spread
from benchmarks.ours import OURS
from benchmarks.rounds import Round, drain
from benchmarks.sql_pollers import BATCH_SIZES, POLLERS, TUNED, SkipLocked

BUDGET = 720.0
"""Seconds for all rounds. No further round of all contenders starts if it would end later. So a slow machine runs fewer
rounds; the JSON file and the tables show how many."""

BATCHES = 200_000
"""Orders per round for contenders with batches."""

WARM_UP = 1_000
"""Orders of the warm-up of a contender with one job per order. It is not counted; it sets the size of the rounds."""

SECONDS = 5.0
"""Target duration in seconds of a round with one job per order."""

FEWEST, MOST = 1_000, 30_000
"""Bounds for the number of orders in such a round. Above 30,000, this project sends batches by default."""

QUICK = {"one job per order": 1_000, "batches": 50_000}
"""Orders per round in a quick run."""

TITLES: dict[Shape, str] = {
    "one job per order": "Drain, one job and one transaction per order",
    "batches": "Drain, batches",
}


def contenders(lab: Lab) -> list[Contender]:
    """Return the contenders that take part. The pollers are not tuned yet."""
    known: list[Contender] = [*OURS, *peers(), *POLLERS, *TUNED]
    return [contender for contender in known if lab.contenders.lower() in contender.name.lower()]


def peers() -> Sequence[Contender]:
    """Return the other queues, or none if the folder ``peers`` is missing. A queue that is not installed reports so."""
    try:
        module: Any = importlib.import_module("benchmarks.peers")
    except ModuleNotFoundError as error:
        if error.name != "benchmarks.peers":
            raise
        return []
    found: Sequence[Contender] = module.PEERS
    return found


def steps(lab: Lab) -> int:
    """Return the number of rounds, including those that are not counted."""
    taking_part = contenders(lab)
    if lab.quick:
        return len(taking_part) * lab.rounds
    tuning = sum(isinstance(contender, SkipLocked) for contender in taking_part) * len(BATCH_SIZES)
    warming = sum(contender.shape == "one job per order" for contender in taking_part)
    return tuning + warming + len(taking_part) * lab.rounds


def run(lab: Lab) -> Sequence[Result]:
    """Tune, warm up, and drain."""
    tuning: list[Round] = []
    taking_part = [
        _tuned(lab, contender, tuning) if isinstance(contender, SkipLocked) and not lab.quick else contender
        for contender in contenders(lab)
    ]
    numbers = {contender.name: _number(lab, contender) for contender in taking_part}
    rounds: list[Round] = []
    began = time.monotonic()
    for number in range(lab.rounds):
        taken = time.monotonic() - began
        if number and taken + taken / number > BUDGET:
            break
        for contender in taking_part:
            lab.step(f"{contender.name}: round {number + 1}, {numbers[contender.name]:,} orders")
            rounds.append(drain(lab.servers, contender, numbers[contender.name]))
    return [
        result
        for shape in TITLES
        if (result := _result(shape, [round_ for round_ in rounds if round_.shape == shape], tuning)).rows
    ]


def _tuned(lab: Lab, contender: SkipLocked, tuning: list[Round]) -> SkipLocked:
    """Run a round with each batch size; return the poller with the fastest one."""
    best, best_rate = contender, 0.0
    for size in BATCH_SIZES:
        sized = replace(contender, batch=size)
        lab.step(f"tuning {sized.name}")
        tuning.append(drain(lab.servers, sized, BATCHES))
        audit = tuning[-1].audit
        if audit and audit.rate > best_rate:
            best, best_rate = sized, audit.rate
    return best


def _number(lab: Lab, contender: Contender) -> int:
    """Return the number of orders per round for a contender."""
    if lab.quick:
        return QUICK[contender.shape]
    if contender.shape == "batches":
        return BATCHES
    lab.step(f"{contender.name}: warm-up")
    audit = drain(lab.servers, contender, WARM_UP).audit
    rate = audit.middle_rate if audit else 0.0
    return round(min(max(rate * SECONDS, FEWEST), MOST) / 500) * 500


def _result(shape: Shape, rounds: Sequence[Round], tuning: Sequence[Round]) -> Result:
    names = list(dict.fromkeys(round_.contender for round_ in rounds))
    by_name = {name: [round_ for round_ in rounds if round_.contender == name] for name in names}
    names.sort(key=lambda name: -_rate(by_name[name]))
    return Result(
        name="drain",
        title=TITLES[shape],
        columns=(
            *("", "version", "orders", "rounds", "orders/s", "seconds to the last"),
            *("PostgreSQL µs", "Redis µs", "workers µs", "expired"),
        ),
        rows=[_row(name, by_name[name]) for name in names],
        note=(
            "orders/s: between the first and the last commit of an expiry. Seconds: from the start of the processes to "
            "the last. µs: CPU time per order. Medians of the rounds, with the lowest and the highest."
        ),
        data=[
            {**asdict(round_), "is_right": round_.is_right, "verdict": round_.verdict, "tuning": is_tuning}
            for is_tuning, group in ((True, tuning if shape == "batches" else []), (False, rounds))
            for round_ in group
        ],
    )


def _rate(rounds: Sequence[Round]) -> float:
    return statistics.median(round_.audit.rate if round_.audit else 0.0 for round_ in rounds)


def _row(name: str, rounds: Sequence[Round]) -> list[str]:
    audits = [round_.audit for round_ in rounds if round_.audit]
    wrong = [round_ for round_ in rounds if not round_.is_right]
    verdict = f"{len(wrong)} of {len(rounds)} rounds: {wrong[0].verdict}" if wrong else "each once"
    costs = [
        spread(getattr(round_, of) * 1e6 / max(round_.audit.expired, 1) for round_ in rounds if round_.audit)
        for of in ("postgres_cpu", "redis_cpu", "workers_cpu")
    ]
    return [
        *(name, rounds[0].version, f"{rounds[0].orders:,}", str(len(rounds))),
        *(spread(audit.rate for audit in audits), spread((audit.wall for audit in audits), ",.1f")),
        *costs,
        verdict,
    ]


MEASURE = Measure("drain", "how fast overdue orders are expired, next to others", steps, run)
