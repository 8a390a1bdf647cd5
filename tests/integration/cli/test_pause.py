"""`orders pause` and `orders resume`, and what the other verbs say of a pause."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

import orders
from orders.errors import InvalidDeadline
from tests.conftest import Shop
from tests.integration.cli.command import run


@pytest.fixture(autouse=True)
def _tables(shop: Shop) -> None:
    shop.create()


def test_pause_and_resume_say_what_is_so(shop: Shop) -> None:
    shop.place("42")
    begun = run("pause", "--for", "30m", "--reason", "the gateway is down")
    paused = orders.paused()
    assert paused
    assert paused.until
    assert (paused.until - paused.since, paused.reason) == (timedelta(minutes=30), "the gateway is down")
    assert paused.by
    assert "@" in paused.by
    assert begun.output == f"{paused}\n"
    for verb in (["list"], ["stats"], ["sweep"]):
        assert run(*verb).stderr.splitlines()[-1] == f"the schedule is {paused}"
    assert run("check", "42").output == "42: overdue\n"
    assert json.loads(run("sweep", "--json").stdout) == {"claimed": 0}
    resumed = run("resume")
    assert (resumed.exit_code, resumed.output) == (0, f"resumed; it was {paused}\n")
    again = run("resume")
    assert (again.exit_code, again.output) == (1, "the schedule was not paused\n")
    assert run("list").stderr == ""
    assert json.loads(run("sweep", "--json").stdout) == {"claimed": 1, "expired": 1}


def test_pause_until_a_time_as_json(shop: Shop) -> None:
    assert shop.expiry
    printed = json.loads(run("pause", "--until", "2100-01-31T12:00:00+01:00", "--json").output)
    assert (printed["until"], printed["reason"]) == ("2100-01-31T11:00:00+00:00", None)


def test_resume_extend_tells_how_many(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = shop.timed()
    monkeypatch.setattr("orders.process._current", timed.expiry)
    run("pause")
    due = (timed.clock.now() + timedelta(seconds=30) - datetime.now(UTC)).total_seconds()
    shop.place("41", "42", due=due)
    timed.clock.advance(60)
    assert run("resume", "--extend").output.endswith("; 2 orders extended\n")


def test_explain_says_that_nothing_happens(shop: Shop) -> None:
    shop.place("42")
    run("pause", "--for", "1h", "--reason", "the gateway is down")
    paused = orders.paused()
    assert paused
    known = json.loads(run("explain", "42", "--json").output)
    assert known["next"] == (
        f"nothing, because the schedule is {paused}. Then: a sweep claims it, and a worker expires it"
    )
    assert known["next_at"] == (paused.until and paused.until.isoformat())


@pytest.mark.parametrize("given", [["--for", "soon"], ["--until", "noon"], ["--for", "0"]])
def test_a_wrong_end_pauses_nothing(given: list[str]) -> None:
    with pytest.raises(InvalidDeadline):
        run("pause", *given)
    assert orders.paused() is None
