"""What will expire when: counts by deadline, from the database."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from typer.testing import CliRunner

from orders.cli import app
from orders.operate.forecast import BARS, Bar, Forecast, forecast_orders
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def bar_of(shop: Shop, found: Forecast, order_id: str) -> Bar:
    """Return the bar in which an order is due."""
    row = shop.store.row(order_id)
    assert row
    assert row.deadline
    due_at = row.deadline + timedelta(seconds=shop.settings.grace)
    [bar] = [bar for bar in found.bars if bar.start < due_at <= bar.end]
    return bar


def is_round(time: datetime, width: timedelta) -> bool:
    return time.timestamp() % width.total_seconds() == 0


def test_pending_orders_are_counted_by_deadline_and_the_overdue_ones_apart(shop: Shop) -> None:
    # given orders that are due, that fall due, that are paid, and one beyond the end
    shop.create()
    shop.place("a", "b", due=-60, enqueue=False)
    shop.place("paid", due=-60, status="paid", enqueue=False)
    shop.place("c", "d", "e", due=90 * 60, enqueue=False)
    shop.place("paid later", due=90 * 60, status="paid", enqueue=False)
    shop.place("last", due=23 * 3600, enqueue=False)
    shop.place("beyond", due=25 * 3600, enqueue=False)
    # when
    found = forecast_orders(shop.expiry)
    # then
    assert (found.overdue, found.overdue_kept, found.expiring, found.kept) == (2, 0, 6, 0)
    assert {bar: bar.expiring for bar in found.bars if bar.expiring} == {
        bar_of(shop, found, "c"): 3,
        bar_of(shop, found, "last"): 1,
    }
    assert found.bars[0].start == found.now
    assert found.bars[-1].end == found.now + timedelta(hours=24)
    assert all(bar.end == following.start for bar, following in pairwise(found.bars))


def test_orders_are_due_their_grace_after_their_deadline(shop: Shop) -> None:
    shop = shop.configured(grace=1800)
    shop.create()
    shop.place("42", due=-600, enqueue=False)
    found = forecast_orders(shop.expiry, hours=1)
    assert (found.overdue, bar_of(shop, found, "42").expiring) == (0, 1)


def test_what_the_condition_keeps_is_counted_apart(shop: Shop) -> None:
    shop.create()
    shop.place("kept", due=-60, enqueue=False)
    shop.place("a", "b", due=-60, enqueue=False)
    shop.place("kept later", "c", due=600, enqueue=False)
    shop = shop.configured(condition="CASE WHEN id LIKE 'kept%' THEN NULL ELSE 1 END = 1")
    found = forecast_orders(shop.expiry, hours=1)
    assert (found.overdue, found.overdue_kept, found.expiring, found.kept) == (2, 1, 3, 2)
    assert (bar_of(shop, found, "c").expiring, bar_of(shop, found, "c").kept) == (1, 1)


@on_sqlite
@pytest.mark.parametrize(
    ("hours", "width"),
    [(0.1, 1), (1, 5), (2, 5), (6, 15), (24, 60), (48, 120), (7 * 24, 12 * 60), (8784, 28 * 24 * 60)],
)
def test_the_width_of_bars_follows_from_the_hours(shop: Shop, hours: float, width: int) -> None:
    shop.create()
    found = forecast_orders(shop.expiry, hours=hours)
    whole = timedelta(minutes=width)
    assert {bar.end - bar.start for bar in found.bars[1:-1]} == {whole}
    assert all(is_round(bar.end, whole) for bar in found.bars[:-1])
    assert len(found.bars) <= BARS + 1


@on_sqlite
@pytest.mark.parametrize("hours", [0, -1, 8785, float("nan"), "24", True])
def test_hours_that_are_none_are_an_error(shop: Shop, hours: float) -> None:
    with pytest.raises(ValueError, match="it must be a number above 0, at most 8784"):
        forecast_orders(shop.expiry, hours=hours)


@on_sqlite
def test_the_command_shows_bars_or_json(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    shop.place("a", "b", due=-60, enqueue=False)
    shop.place("c", due=600, enqueue=False)
    monkeypatch.setattr("orders.process._current", shop.configured(condition="id <> 'b'").expiry)
    shown = CliRunner().invoke(app, ["forecast", "--hours", "1"], catch_exceptions=False).output
    [overdue] = [line for line in shown.splitlines() if "overdue" in line]
    assert overdue.split()[2:] == ["1", "1"]
    assert overdue.split()[1] == "█" * 40
    assert "2 orders expire until" in shown
    assert "1 kept by the shop's condition" in shown
    told = json.loads(CliRunner().invoke(app, ["forecast", "--json"], catch_exceptions=False).output)
    assert (told["overdue"], told["overdue_kept"], told["expiring"], told["kept"]) == (1, 1, 2, 1)
    assert sum(bar["expiring"] for bar in told["bars"]) == 1
    assert datetime.fromisoformat(told["bars"][0]["start"]) == datetime.fromisoformat(told["now"])
