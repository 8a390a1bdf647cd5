"""What is read from the ring: lateness within buckets, minutes of other days, buckets of several minutes."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from orders.operate.history import read_history
from orders.schedule.counters import BOUNDS
from orders.schedule.history import History, parse_history, quantile, sum_histories
from orders.schedule.sorted_set import Schedule

NOON = 29_716_560
"""A minute since 1970: noon of 2026-07-02."""


class Rings:
    """A schedule of several sorted sets that have counted something."""

    def __init__(self, *counted: dict[int, dict[str, int]], minute: int = NOON) -> None:
        self._histories = [
            History(minute, {minute: Counter(counters) for minute, counters in each.items()}) for each in counted
        ]

    def sets(self) -> list[Any]:
        return [self._Set(history) for history in self._histories]

    class _Set:
        def __init__(self, history: History) -> None:
            self._history = history

        def history(self, minutes: int) -> History:
            return self._history


def read(rings: Rings, minutes: int, step: int = 1) -> list[Any]:
    return list(read_history(cast("Schedule", rings), minutes=minutes, step=step))


@pytest.mark.parametrize(
    ("counters", "share", "seconds"),
    [
        ({}, 0.5, None),
        ({"expired": 3}, 0.5, None),  # counted without lateness
        ({"0.005": 1}, 0.5, 0.0025),
        ({"0.005": 100}, 0.99, 0.00495),
        ({"0.005": 50, "1": 50}, 0.5, 0.005),
        ({"0.005": 50, "1": 50}, 0.75, 0.75),
        ({"0.05": 98, "10": 1, "60": 1}, 0.5, 0.025 + 0.025 * 50 / 98),
        ({"0.05": 98, "10": 1, "60": 1}, 0.99, 10),
        ({"86400": 1, "inf": 9}, 0.99, 86400),
        ({"0.01": 4, "0.123": 1_000_000}, 1.0, 0.01),  # a bound of another release
    ],
)
def test_a_quantile_is_interpolated_within_a_bucket(
    counters: dict[str, int], share: float, seconds: float | None
) -> None:
    found = quantile(counters, share)
    assert found == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 1.0])
def test_it_never_leaves_the_bucket_of_the_exact_one(share: float) -> None:
    late = sorted(0.0007 * number**2 for number in range(1, 400))
    exact = late[round(share * len(late)) - 1]
    ends = (0.0, *BOUNDS)
    counts: Counter[str] = Counter()
    for seconds in late:
        counts[f"{min(bound for bound in BOUNDS if bound >= seconds):g}"] += 1
    number = next(number for number, bound in enumerate(BOUNDS) if exact <= bound)
    assert ends[number] <= cast("float", quantile(counts, share)) <= ends[number + 1]


def test_a_minute_of_another_day_counts_for_nothing() -> None:
    found = [
        json.dumps({"minute": NOON, "expired": 2, "0.005": 2}).encode(),
        None,
        json.dumps({"minute": NOON - 2 - 1440, "expired": 9}).encode(),
        json.dumps({"minute": NOON - 3, "paid": 1}).encode(),
    ]
    history = parse_history(NOON * 60 + 59.9, found)
    assert history == (NOON, {NOON: {"expired": 2, "0.005": 2}, NOON - 3: {"paid": 1}})


def test_several_sorted_sets_are_added_up() -> None:
    first, second = {NOON: {"expired": 2}}, {NOON: {"expired": 3, "paid": 1}, NOON - 1: {"failed": 4}}
    [before, now] = read(Rings(first, second), minutes=2)
    assert (before.expired, before.paid, before.failed) == (0, 0, 4)
    assert (now.expired, now.paid, now.failed) == (5, 1, 0)
    assert sum_histories([History(NOON, {}), History(NOON + 1, {})]).minute == NOON


def test_there_is_a_bucket_for_each_step_the_current_one_last() -> None:
    rings = Rings({NOON + 3: {"expired": 1, "0.005": 1}, NOON: {"expired": 1, "1": 1}, NOON - 1: {"paid": 7}})
    # when the minute is the fourth of its five
    rings._histories = [each._replace(minute=NOON + 3) for each in rings._histories]
    buckets = read(rings, minutes=15, step=5)
    assert [bucket.at for bucket in buckets] == [
        datetime(2026, 7, 2, hour, minute, tzinfo=UTC) for hour, minute in ((11, 50), (11, 55), (12, 0))
    ]
    assert [(bucket.expired, bucket.paid) for bucket in buckets] == [(0, 0), (0, 7), (2, 0)]
    assert [bucket.p99 for bucket in buckets] == [None, None, pytest.approx(0.99, abs=0.001)]


def test_a_day_reaches_no_further_than_the_ring() -> None:
    buckets = read(Rings({NOON + 9 - 1439: {"expired": 1}}, minute=NOON + 9), minutes=1440, step=10)
    assert len(buckets) == 144
    assert buckets[0].expired == 1


@pytest.mark.parametrize(
    ("minutes", "step", "why"),
    [
        (0, 1, "minutes is 0: it must be a whole number from 1 to 1440"),
        (1441, 1, "minutes is 1441"),
        (True, 1, "minutes is True"),
        (1.5, 1, r"minutes is 1\.5"),
        (60, 0, "step is 0: it must be a whole number of minutes that divides 60"),
        (60, 7, "step is 7"),
        (60, "5", "step is '5'"),
    ],
)
def test_what_is_no_number_of_minutes_is_rejected(minutes: Any, step: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read(Rings({}), minutes, step)
