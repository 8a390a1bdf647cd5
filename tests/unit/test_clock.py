from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from orders.clock import SystemClock, resolve_deadline
from orders.errors import InvalidDeadline
from tests.conftest import ManualClock

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


def resolve(expires_at: Any = None, timeout: Any = None) -> datetime:
    return resolve_deadline(ManualClock(NOON), expires_at=expires_at, timeout=timeout, default=1800)


def test_the_default_timeout_counts_from_now() -> None:
    assert resolve() == NOON + timedelta(minutes=30)


@pytest.mark.parametrize("timeout", [90, 90.0, timedelta(seconds=90)])
def test_a_timeout_counts_from_now(timeout: object) -> None:
    assert resolve(timeout=timeout) == NOON + timedelta(seconds=90)


def test_a_timeout_of_zero_is_now_and_not_the_default() -> None:
    assert resolve(timeout=0) == NOON


def test_a_deadline_in_another_zone_is_the_same_instant() -> None:
    tokyo = timezone(timedelta(hours=9))
    assert resolve(datetime(2030, 1, 31, 21, tzinfo=tokyo)) == NOON
    assert resolve(datetime(2030, 1, 31, 21, tzinfo=tokyo)).tzinfo is UTC


def test_a_deadline_may_lie_in_the_past() -> None:
    assert resolve(datetime(1999, 1, 1, tzinfo=UTC)) == datetime(1999, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"expires_at": datetime(2030, 1, 31)}, "is naive"),  # noqa: DTZ001
        ({"expires_at": "2030-01-31"}, "not '2030-01-31' (str)"),
        ({"expires_at": 1_900_000_000}, "not 1900000000 (int)"),
        ({"expires_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=9)))}, "cannot be expressed in UTC"),
        ({"timeout": -1}, "zero or more, not -1"),
        ({"timeout": float("nan")}, "not nan"),
        ({"timeout": float("inf")}, "not inf"),
        ({"timeout": "60"}, "not '60'"),
        ({"timeout": True}, "not True"),
        ({"timeout": timedelta(seconds=-1)}, "not datetime.timedelta"),
        ({"timeout": 1e15}, "beyond the year 9999"),
        ({"timeout": 60, "expires_at": NOON}, "exclude each other"),
    ],
)
def test_what_is_no_deadline_is_refused_with_its_value(given: dict[str, object], told: str) -> None:
    with pytest.raises(InvalidDeadline) as caught:
        resolve(**given)
    assert told in str(caught.value)
    assert isinstance(caught.value, ValueError)


def test_the_system_clock_tells_utc() -> None:
    assert SystemClock().now().utcoffset() == timedelta(0)
