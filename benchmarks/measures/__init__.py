"""The measurements, in the order in which a run makes them."""

from benchmarks.lab import Measure
from benchmarks.measures import costs, drain, enqueue, growth, idle, lateness, limit, scaling

MEASURES: tuple[Measure, ...] = (
    drain.MEASURE,
    scaling.MEASURE,
    lateness.MEASURE,
    enqueue.MEASURE,
    growth.MEASURE,
    idle.MEASURE,
    limit.MEASURE,
    costs.MEASURE,
)

__all__ = ["MEASURES"]
