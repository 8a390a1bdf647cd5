"""The history of the schedule for plots, and the files that draw them, for ``orders web`` and for Django's admin."""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from orders.operate.operations import Operations

HOUR, DAY = "hour", "day"

SPANS: Mapping[str, tuple[int, int]] = {HOUR: (60, 1), DAY: (24 * 60, 15)}
"""The minutes that a plot shows, and the minutes of each of its points."""

STATIC = files(__package__) / "web" / "static"
"""The folder with ``history.js``, which draws, its style sheet, and uPlot."""

Columns = dict[str, list[Any]]


def columns(operations: Operations, span: str) -> Columns:
    """Return the columns of a plot: "at" in Unix seconds, "expired", "paid", "failed", "p50", "p99" in seconds."""
    minutes, step = SPANS[span]
    buckets = operations.history(minutes=minutes, step=step)
    names = ("expired", "paid", "failed", "p50", "p99")
    found = {name: [getattr(bucket, name) for bucket in buckets] for name in names}
    return {"at": [bucket.at.timestamp() for bucket in buckets], **found}


def hour_and_day(operations: Operations) -> dict[str, tuple[Columns, str]]:
    """Return the columns of each plot, and what they show in a sentence."""
    found = {span: columns(operations, span) for span in SPANS}
    return {span: (points, summary(points)) for span, points in found.items()}


def summary(points: Columns) -> str:
    """Return the sums of a plot in a sentence."""
    sums = [f"{sum(points[name]):,} {name}" for name in ("expired", "paid", "failed")]
    worst = [value for value in points["p99"] if value is not None]
    return ", ".join(sums) + (f"; lateness p99 at most {max(worst):.3g} s" if worst else "")


def offset() -> int:
    """Return the zone of this process, in seconds east of UTC, as `orders.clock.local` shows times."""
    return time.localtime().tm_gmtoff
