"""Ratios to the limits of the same run. They can be compared with those of another commit or another machine."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

from benchmarks.lab import Result

QUICK = ("drain", "enqueue", "limit")
"""The measurements of a quick run, which are those that the ratios need."""


def ratios(results: Sequence[Result]) -> Result | None:
    """Divide each drain of this project by the loop that only claims, updates and removes; None if either is missing.

    Args:
        results: all or some of the results of a run.
    """
    data = {name: [found for result in results if result.name == name for found in result.data] for name in QUICK}
    limits = _rates([found for found in data["limit"] if "loop" in found.get("contender", "")])
    if not limits:
        return None
    name, limit = max(limits.items(), key=lambda item: item[1])
    ours = _rates([found for found in data["drain"] if found["contender"].startswith("this project")])
    rows = [[drain, f"{rate:,.0f}", f"{rate / limit:.4f}"] for drain, rate in ours.items()]
    if data["enqueue"]:
        enqueue = data["enqueue"][0]
        rows.append(["enqueue, over redis-py's bare ZADD", f"{enqueue['enqueue']:,.0f}", f"{enqueue['share']:.2f}"])
    return Result(
        name="ratios",
        title="Ratios",
        columns=("", "orders/s", "ratio"),
        rows=rows,
        note=f"Drains: over the limit \u201c{name}\u201d, {limit:,.0f} orders/s in this run.",
    )


def _rates(rounds: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Return the median rate of each contender."""
    rates: dict[str, list[float]] = {}
    for round_ in rounds:
        if round_["audit"]:
            rates.setdefault(round_["contender"], []).append(round_["audit"]["rate"])
    return {name: statistics.median(found) for name, found in rates.items()}
