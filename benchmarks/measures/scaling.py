"""Scaling: the drain of this project with one to four workers, each a process, and with other batch sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from benchmarks.lab import Lab, Measure, Result, spread
from benchmarks.ours import BATCHES, ONE_TASK
from benchmarks.rounds import Round, drain

WORKERS = (1, 2, 3, 4)
QUICK_WORKERS = (1, 2)
VARIANTS = {ONE_TASK: (20_000, 1_000), BATCHES: (100_000, 30_000)}
"""The variants to scale, with their number of orders in a full round and in a quick one."""
SIZES = (50, 100, 500)
"""Orders per batch."""


def steps(lab: Lab) -> int:
    """Return the number of rounds."""
    return len(_workers(lab)) * len(VARIANTS) + len(SIZES)


def run(lab: Lab) -> Sequence[Result]:
    """Drain once with each number of workers, then once with each batch size."""
    rows, data = [], []
    for variant, orders in VARIANTS.items():
        rounds = []
        for workers in _workers(lab):
            lab.step(f"{variant.name}: {workers} workers")
            scaled = replace(variant, workers=workers)
            rounds.append(drain(lab.servers, scaled, orders[lab.quick]))
        rows.append([variant.name, *map(_rate, rounds)])
        data += [{**asdict(round_), "workers": number} for number, round_ in zip(_workers(lab), rounds, strict=True)]
    return [
        Result(
            name="scaling",
            title="Drain by workers, each a process",
            columns=("orders/s with", *(f"{number} worker{'s'[: number > 1]}" for number in _workers(lab))),
            rows=rows,
            note="One round each, with a sweeper beside them. The servers and the processes share the cores.",
            data=data,
        ),
        _by_size(lab),
    ]


def _by_size(lab: Lab) -> Result:
    rounds = []
    for size in SIZES:
        lab.step(f"{BATCHES.name}: batches of {size}")
        rounds.append(drain(lab.servers, replace(BATCHES, batch_size=size), VARIANTS[BATCHES][lab.quick]))
    return Result(
        name="batch_size",
        title="Drain by size of a batch",
        columns=("orders/s with", *(f"{size:,} orders a batch" for size in SIZES)),
        rows=[[BATCHES.name, *map(_rate, rounds)]],
        note="One round each, two workers.",
        data=[{**asdict(round_), "batch_size": size} for size, round_ in zip(SIZES, rounds, strict=True)],
    )


def _workers(lab: Lab) -> tuple[int, ...]:
    return QUICK_WORKERS if lab.quick else WORKERS


def _rate(round_: Round) -> str:
    rate = spread([round_.audit.rate] if round_.audit else [])
    return rate if round_.is_right else f"{rate} ({round_.verdict})"


MEASURE = Measure("scaling", "how the drain grows with workers", steps, run)
