"""The tables: the cost of each step, the model against the measurements, and its predictions."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from benchmarks.lab import Result, spread
from benchmarks.model.costs import Costs
from benchmarks.model.measured import Drain, Measured
from benchmarks.model.predict import FLOODS, FULL, PENDING, WORKERS, Steady, flood, steady
from benchmarks.model.system import Drained, System

SEEDS = range(3)
"""Seeds for the simulations of a measured drain. So short a drain has a spread, simulated or not."""


@dataclass(frozen=True)
class Compared:
    """A measured drain, and the model's results for it."""

    drain: Drain
    modelled: tuple[Drained, ...]

    @property
    def rate(self) -> float:
        """The median of the simulated rates, in orders per second."""
        return statistics.median(drained.rate for drained in self.modelled)

    @property
    def error(self) -> float:
        """How far the model is above the measured rate, as a share of the measured rate."""
        return self.rate / self.drain.rate - 1


@dataclass(frozen=True)
class Predicted:
    """The predictions of the model for what was not measured."""

    floods: dict[str, dict[int, Drained]]
    """By deployment and number of workers."""
    steady: tuple[Steady, ...]


def compare(measured: Measured) -> list[Compared]:
    """Simulate each measured drain."""
    return [
        Compared(
            drain,
            tuple(System(measured.costs, drain.deployment, seed=seed).drain(drain.orders) for seed in SEEDS),
        )
        for drain in measured.drains
    ]


def predict(measured: Measured) -> Predicted:
    """Simulate floods, and calculate steady streams."""
    floods = {
        name: {workers: flood(measured.costs, replace(deployment, workers=workers)) for workers in WORKERS}
        for name, deployment in FLOODS.items()
    }
    streams = tuple(steady(measured.costs, measured.claims, pending) for pending in PENDING)
    return Predicted(floods, streams)


def tables(measured: Measured, compared: Sequence[Compared], predicted: Predicted) -> list[Result]:
    """Return all tables."""
    return [_costs(measured.costs), _compared(compared), _floods(predicted), _steady(predicted), _parts(predicted)]


def _costs(costs: Costs) -> Result:
    rows = []
    for each in fields(Costs):
        value = getattr(costs, each.name)
        figure = f"{value:,.0f} bytes" if each.name == "wal_order" else f"{value * 1e6:,.1f} µs"
        rows.append([each.metadata["about"], figure, each.metadata["source"]])
    return Result(
        name="costs",
        title="What a step costs",
        columns=("CPU time of one core", "", "from"),
        rows=rows,
        note="Medians of the rounds; where two parts are named, their difference.",
    )


def _compared(compared: Sequence[Compared]) -> Result:
    return Result(
        name="compared",
        title="The model against what was measured",
        columns=("drain", "measured, orders/s", "model, orders/s", "model, off by", "attempts", "in the model"),
        rows=[
            [
                each.drain.name,
                spread(each.drain.rates),
                spread(drained.rate for drained in each.modelled),
                f"{each.error:+.0%}",
                f"{each.drain.attempts:,.0f}",
                f"{statistics.median(drained.attempts for drained in each.modelled):,.0f}",
            ]
            for each in compared
        ],
        note="Medians, with the lowest and the highest: of the rounds, and of three simulations.",
    )


def _floods(predicted: Predicted) -> Result:
    shown = (1, 10, 100, 1000)
    return Result(
        name="floods",
        title="Floods: orders a second by workers, and the part that is busiest",
        columns=("", *(f"{workers:,} worker{'s'[: workers > 1]}" for workers in shown)),
        rows=[[name, *(_flood(found[workers]) for workers in shown)] for name, found in predicted.floods.items()],
        note="In brackets how much of the time the busiest part is busy.",
    )


def _flood(drained: Drained) -> str:
    return f"{_rounded(drained.rate)}: {drained.bottleneck} ({drained.used[drained.bottleneck]:.0%})"


def _steady(predicted: Predicted) -> Result:
    return Result(
        name="steady",
        title="What is needed for a steady stream, no part more than 70 % busy",
        columns=(
            *("pending", "due in a second", "Redis memory", "shards", "sweepers", "orders a message"),
            *("broker, cores", "workers", "PostgreSQL, cores", "PostgreSQL writes"),
        ),
        rows=[
            [
                f"{found.pending:,}",
                _rounded(found.rate),
                _bytes(found.memory),
                f"{found.shards:,}",
                f"{max(found.shards, found.needed('sweeper')):,}",
                f"{found.batch:,}",
                f"{found.cores['broker'] / FULL:,.2f}",
                f"{found.needed('workers'):,}",
                f"{found.cores['PostgreSQL'] / FULL:,.2f}",
                f"{_bytes(found.wal)}/s",
            ]
            for found in predicted.steady
        ],
        note="Every order is enqueued by itself, has 30 minutes, and is never paid. Cores: at 70 %.",
    )


def _parts(predicted: Predicted) -> Result:
    parts = predicted.steady[0].cores
    return Result(
        name="parts",
        title="Cores that each part keeps busy",
        columns=("pending", *parts),
        rows=[[f"{found.pending:,}", *(f"{found.cores[part]:,.2f}" for part in parts)] for found in predicted.steady],
        note="The first above 1 is the first that one process is not enough for.",
    )


def _rounded(figure: float) -> str:
    """Round to three digits: the model is not more accurate."""
    digits = max(len(f"{figure:.0f}") - 3, 0)
    return f"{round(figure, -digits):,.0f}"


def _bytes(figure: float) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if figure >= size:
            return f"{figure / size:,.3g} {unit}"
    return f"{figure / 1e3:,.0f} kB"
