"""The history: what was counted in each minute of the last day, in a ring of `RING` minutes in Redis.

``lua/shared/history.lua`` writes it, in the scripts that end attempts or remove paid orders, so it costs no round trip.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from orders.schedule.counters import BOUNDS

RING = 1440
"""The minutes of the history: a day."""

PAID = "paid"
"""Orders for which a payment was accepted, or that workers marked as paid because the guard said so."""

FAILED = "failed"
"""Attempts that failed: the order was rescheduled or buried."""

_LATE = {f"{bound:g}": number for number, bound in enumerate(BOUNDS)}


class History(NamedTuple):
    """What one sorted set, or several, counted in the last minutes."""

    minute: int
    """The current minute by Redis's clock, since 1970."""
    counted: Mapping[int, Counter[str]]
    """The counters of each minute in which something was counted: `EXPIRED`, `PAID`, `FAILED`, and upper bounds of the
    lateness, each as text, with how many orders expired within it and not within the one before."""


def parse_history(now: float, found: Sequence[bytes | None]) -> History:
    """Return the history from what the script returns: values that may be those of another day.

    Args:
        now: Redis's clock, in Unix seconds.
        found: a JSON object, or None, for each minute, the current one first.
    """
    this = int(now // 60)
    counted = {}
    for minute, value in zip(range(this, this - len(found), -1), found, strict=True):
        counters = json.loads(value) if value else {}
        if counters.pop("minute", None) == minute:
            counted[minute] = Counter(counters)
    return History(this, counted)


def sum_histories(histories: Sequence[History]) -> History:
    """Return the history of several sorted sets. Their clocks may differ: the first one says which minute it is."""
    total: dict[int, Counter[str]] = {}
    for history in histories:
        for minute, counters in history.counted.items():
            total.setdefault(minute, Counter()).update(counters)
    return History(histories[0].minute, total)


def quantile(counters: Mapping[str, int], share: float) -> float | None:
    """Return the lateness in seconds that a share of the orders that expired did not exceed; None if none expired.

    Only how many fell between two of `BOUNDS` is known, so this interpolates between them. Beyond the last finite bound
    it returns that bound.

    Args:
        counters: the counters of a span of time.
        share: from 0 to 1: 0.5 for the median.
    """
    counts = [counters.get(bound, 0) for bound in _LATE]
    wanted = share * sum(counts)
    reached = list(accumulate(counts))
    for lower, upper, before, count in zip((0.0, *BOUNDS), BOUNDS, (0, *reached), counts, strict=False):
        if count and before + count >= wanted:
            return lower if upper == BOUNDS[-1] else lower + (upper - lower) * (wanted - before) / count
    return None
