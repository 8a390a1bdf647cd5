"""When orders are looked at because of reminders, and what the setting accepts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orders.config import Reminders, Settings
from orders.errors import ConfigError

DUE = 1_000_000.0
REMINDERS = Reminders((60, 600), 0.0)


@pytest.mark.parametrize(
    ("wait", "following", "missed"),
    [
        (601, 600, 600),
        (600, 60, 600),  # a reminder whose time is now has come
        (599, 60, 600),
        (61, 60, 600),
        (60, 0, 60),
        (59, 0, 60),  # of several that were missed, only the last one
        (0, 0, 0),
        (-1, 0, 0),  # after the deadline there is none
    ],
)
def test_an_order_is_looked_at_for_each_reminder_and_when_it_is_due(wait: float, following: int, missed: int) -> None:
    assert REMINDERS.next_look(DUE, wait) == DUE - following
    assert REMINDERS.missed_look(DUE, wait) == DUE - missed


def test_reminders_come_before_the_deadline_not_before_the_end_of_the_grace() -> None:
    reminders = Reminders((60,), grace=30.0)
    assert reminders.next_look(DUE, 91.0) == DUE - 90
    assert reminders.next_look(DUE, 90.0) == DUE
    assert (reminders.passed(90.0), reminders.passed(30.5), reminders.passed(30.0)) == (60, 60, None)


@given(wait=st.floats(-1e6, 1e6), grace=st.floats(0, 100))
def test_without_reminders_an_order_is_looked_at_when_it_is_due(wait: float, grace: float) -> None:
    assert Reminders((), grace).next_look(DUE, wait) == DUE == Reminders((), grace).missed_look(DUE, wait)


@given(before=st.sets(st.integers(1, 10_000), max_size=16), wait=st.integers(-1000, 20_000), grace=st.integers(0, 100))
def test_the_looks_at_an_order_are_its_reminders_each_once_and_then_the_expiry(
    before: set[int], wait: int, grace: int
) -> None:
    reminders, looks = Reminders(sorted(before), grace), []
    while wait > 0:
        look = reminders.next_look(DUE, wait)
        assert look > DUE - wait or look == DUE
        looks.append(look)
        wait = round(DUE - look)
        if wait > 0:
            assert reminders.passed(wait) == wait - grace
    assert looks == sorted(set(looks))
    assert not looks or looks[-1] == DUE


def test_a_reminder_that_is_almost_due_counts_if_asked_for() -> None:
    assert REMINDERS.passed(60.5) == 600
    assert REMINDERS.passed(60.5, ahead=0.75) == 60


@pytest.mark.parametrize(
    ("given", "remind"),
    [
        ("", ()),
        ("10m, 1m", (60, 600)),
        ("2d,90", (90, 172_800)),
        (["1h", 60, timedelta(minutes=5)], (60, 300, 3600)),
        (600, (600,)),
    ],
)
def test_the_setting_takes_times_in_any_order(given: Any, remind: tuple[int, ...]) -> None:
    assert Settings.of({"REMIND": given}).remind == remind


@pytest.mark.parametrize(
    "given",
    ["10x", "0", "-1m", "400d", True, [None], [0.5], float("nan"), {"a": 1}, ",".join(map(str, range(20, 500, 20)))],
)
def test_anything_else_is_rejected(given: Any) -> None:
    accepted = "it must be at most 16 times, such as 10m,1m, each from a second to a year"
    with pytest.raises(ConfigError, match="ORDERS_REMIND is ") as error:
        Settings.of({"REMIND": given})
    assert str(error.value).endswith(accepted)


@pytest.mark.parametrize(("given", "listed"), [("5s", "5"), ("1m,65s", "60, 65"), ("10m,600", "600, 600")])
def test_a_sweep_must_have_time_between_two_looks(given: str, listed: str) -> None:
    why = rf"ORDERS_REMIND is {listed} \(seconds\): each must be at least ORDERS_LOOKAHEAD, which is 11"
    with pytest.raises(ConfigError, match=why):
        Settings.of({"REMIND": given})
    assert Settings.of({"REMIND": "1,3", "LOOKAHEAD": 1, "SWEEP_INTERVAL": 0.9}).remind == (1, 3)
