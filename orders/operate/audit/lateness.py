"""How late orders were expired, in bounded memory."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

RATIO = 1.01
"""The ratio of two neighbouring buckets: a quantile is exact to 1 %."""

LEAST = 0.001
"""Seconds: shorter lateness is not told apart."""


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late orders were expired, in seconds after they were due."""

    number: int
    """Of how many orders it is known."""
    p50: float
    p99: float
    max: float


class Histogram:
    """Counts durations in buckets that grow by `RATIO`, about 2,500 for a year."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self._max = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._counts[math.ceil(math.log(max(seconds, LEAST) / LEAST, RATIO))] += 1
        self._max = max(self._max, seconds)

    def lateness(self) -> Lateness | None:
        """Return the quantiles; None if nothing was counted."""
        number = self._counts.total()
        return Lateness(number, self._quantile(0.5), self._quantile(0.99), self._max) if number else None

    def _quantile(self, share: float) -> float:
        """Return the end of the first bucket with which the given share of all is reached."""
        left = math.ceil(share * self._counts.total())
        for bucket in sorted(self._counts):
            left -= self._counts[bucket]
            if left <= 0:
                return min(LEAST * RATIO**bucket, self._max)
        return self._max
