"""The measurements, in the order of a run."""

from benchmarks.lab import Measure
from benchmarks.measures import (
    costs,
    distance,
    drain,
    enqueue,
    flower,
    growth,
    idle,
    lateness,
    limit,
    reminders,
    scaling,
)

MEASURES: tuple[Measure, ...] = (
    drain.MEASURE,
    scaling.MEASURE,
    distance.MEASURE,
    lateness.MEASURE,
    reminders.MEASURE,
    enqueue.MEASURE,
    growth.MEASURE,
    idle.MEASURE,
    flower.MEASURE,
    limit.MEASURE,
    costs.MEASURE,
)

__all__ = ["MEASURES"]
