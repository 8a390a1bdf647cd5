"""The counters: fields of the Redis hash `orders.schedule.keys.Keys.stats`.

The scripts increase them in the same round trip as their changes. A field exists once it was increased.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial

from orders.hooks import Answer

EXPIRED = "expired"
"""Rows that workers changed from pending to expired."""

CLOSED = "closed"
"""Rows that workers found in a final state, or marked as paid because the guard said so."""

KEPT = "kept"
"""Looks at due orders that the shop's condition kept."""

REMINDED = "reminded"
"""Reminders that workers recorded."""

MISSING = "missing"
"""Orders that workers settled because they had no row, attempt after attempt."""

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400, float("inf"))
"""Upper bounds of the buckets of the lateness, in seconds."""

LATENESS = "lateness_"
"""Prefix of the counters of the lateness."""

BUCKETS = tuple(f"{LATENESS}to_{bound:g}" for bound in BOUNDS)
"""One counter per bucket: rows that expired later than the previous bound and not later than this one."""

LATENESS_SUM = f"{LATENESS}microseconds"
"""Total lateness in microseconds. An integer, because a large floating-point sum loses small numbers."""

NO_ANSWER = "none"
"""Counted as the guard's answer if it gave none."""

ANSWERS = {answer: f"guard_{answer}" for answer in (*(answer.value for answer in Answer), NO_ANSWER)}
"""The counter of each answer of the guard."""

_bucket = partial(bisect_left, BOUNDS)


def lateness(late: Iterable[float]) -> Mapping[str, int]:
    """Return what to add to the counters for rows that expired so many seconds after they were due."""
    late = list(late)
    counts = {BUCKETS[number]: count for number, count in Counter(map(_bucket, late)).items()}
    return {**counts, LATENESS_SUM: round(sum(late) * 1e6)} if late else counts
