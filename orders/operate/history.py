"""The history: how many orders expired, were paid or failed, and how late they expired, for each minute of a day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from orders.schedule import EXPIRED, FAILED, PAID, RING, Schedule, quantile, sum_histories


@dataclass(frozen=True, slots=True)
class Bucket:
    """What was counted in a span of time."""

    at: datetime
    """Its begin, in UTC: a whole multiple of the step since 1970."""
    expired: int
    """Orders that workers expired."""
    paid: int
    """Orders that became paid, by `orders.pay` or because the guard said so."""
    failed: int
    """Attempts that failed."""
    p50: float | None
    """The median lateness of the orders that expired, in seconds; None if none did. See `orders.schedule.quantile`."""
    p99: float | None
    """The lateness that 99 % of them did not exceed."""


def read_history(schedule: Schedule, *, minutes: int, step: int = 1) -> Sequence[Bucket]:
    """Return what was counted in the last minutes, oldest first, in ``minutes / step`` buckets.

    The last one has not ended yet. Workers of a release before the history count nothing. It takes one round trip for
    each sorted set.

    Args:
        schedule: the schedule.
        minutes: how far back, from 1 to 1440: a day.
        step: the minutes of each bucket, a divisor of *minutes*.

    Raises:
        ValueError: *minutes* or *step* is not such a number.
        ScheduleError: Redis failed.
    """
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= RING:
        raise ValueError(f"minutes is {minutes!r}: it must be a whole number from 1 to {RING}")
    if isinstance(step, bool) or not isinstance(step, int) or step < 1 or minutes % step:
        raise ValueError(f"step is {step!r}: it must be a whole number of minutes that divides {minutes}")
    history = sum_histories([each.history(minutes) for each in schedule.sets()])
    last = history.minute // step * step
    return [_bucket(start, step, history.counted) for start in range(last - minutes + step, last + step, step)]


def _bucket(start: int, step: int, counted: Mapping[int, Counter[str]]) -> Bucket:
    counters: Counter[str] = Counter()
    for minute in range(start, start + step):
        counters.update(counted.get(minute, {}))
    at = datetime.fromtimestamp(start * 60, UTC)
    return Bucket(
        at,
        expired=counters[EXPIRED],
        paid=counters[PAID],
        failed=counters[FAILED],
        p50=quantile(counters, 0.5),
        p99=quantile(counters, 0.99),
    )
