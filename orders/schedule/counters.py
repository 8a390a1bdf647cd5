"""What is counted in Redis, under which names: fields of the hash `orders.schedule.keys.Keys.stats`.

The scripts count in the round trip in which they change the schedule. A field is there once it was counted.
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
"""Rows that workers found to be final, or marked as paid because the guard said so."""

BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400, float("inf"))
"""The upper bounds of the buckets of the lateness, in seconds."""

LATENESS = "lateness_"
"""How the names begin that belong to the lateness."""

BUCKETS = tuple(f"{LATENESS}to_{bound:g}" for bound in BOUNDS)
"""How many rows were expired so late: beyond the bound before, and up to this one."""

LATENESS_SUM = f"{LATENESS}microseconds"
"""By how much all together: an integer, because a sum of floating-point numbers forgets the small ones."""

NO_ANSWER = "none"
"""What is counted as the guard's answer if it gave none."""

ANSWERS = {answer: f"guard_{answer}" for answer in (*(answer.value for answer in Answer), NO_ANSWER)}
"""The names of the counters of the guard's answers."""

_bucket = partial(bisect_left, BOUNDS)


def lateness(late: Iterable[float]) -> Mapping[str, int]:
    """Return the counters of rows that were expired so many seconds after they were due."""
    late = list(late)
    counts = {BUCKETS[number]: count for number, count in Counter(map(_bucket, late)).items()}
    return {**counts, LATENESS_SUM: round(sum(late) * 1e6)} if late else counts
