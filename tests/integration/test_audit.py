"""Each wrong that an audit must find is planted by hand, in rows, events or Redis; a right shop is called right."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from orders.cli import app
from orders.errors import WrongDatabase
from orders.expiry.use_cases import OrderExpiry
from orders.hooks import Answer
from orders.operate.audit import WrongKind, audit_orders
from orders.schedule.shards import connect_schedule
from orders.store.orders_table import IdType
from tests.conftest import Shop
from tests.integration.wrongs import DAY, HOUR, PLANTED, bury, expired, write

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def opened(shop: Shop, kind: WrongKind | None = None) -> Shop:
    """Create the tables; a wrong that needs a setting gets it."""
    shop.create()
    if kind is WrongKind.LATE:
        return shop.configured(slo=30.0)
    return shop.configured(condition="id <> '42'") if kind is WrongKind.KEPT_FOR_LONG else shop


@pytest.mark.parametrize(("plant", "kind"), PLANTED, ids=lambda given: getattr(given, "__name__", None))
def test_a_planted_wrong_is_found(shop: Shop, plant: Callable[[Shop], None], kind: WrongKind) -> None:
    # given a right order, and a wrong one
    shop = opened(shop, kind)
    expired(shop, "41")
    # when
    plant(shop)
    found = audit_orders(shop.expiry)
    # then only that is found
    [wrong] = found.wrongs
    assert (wrong.kind, wrong.number, [case.order_id for case in wrong.cases]) == (kind, 1, ["42"])
    assert not found.is_right


def test_a_right_shop_is_right(shop: Shop) -> None:
    # given orders that went every right way
    shop = opened(shop).configured(slo=60.0, condition="id <> 'kept'")
    shop.hooks.on_late_payment(lambda _, order_id: order_id == "revived")
    shop.place("expired", "late payment", "revived", due=-5)
    assert shop.claim_and_expire()["expired"] == 3
    shop.expiry.pay("late payment")
    assert shop.expiry.pay("revived").was_revived
    shop.place("paid", "cancelled", "extended", due=-5)
    assert shop.expiry.pay("paid").is_accepted
    assert shop.expiry.cancel("cancelled")
    assert shop.expiry.extend("extended", timeout=600)
    # and some that are under way
    shop.place("leased", "kept", due=-5)
    assert len(shop.schedule.claim(10).claimed) == 2
    shop.place("due", due=-5)
    shop.place("missed by enqueue", due=-5, enqueue=False)
    shop.place("to come", due=HOUR)
    shop.place("paid by hand", due=HOUR, status="paid")
    shop.place("buried", due=-5)
    bury(shop, "buried", 60.0)
    # when
    found = audit_orders(shop.expiry)
    # then
    assert found.wrongs == []
    assert (found.expired, found.due, found.scheduled, found.dead) == (3, 5, 6, 1)
    assert found.lateness is not None
    assert found.lateness.number == 2  # the revived one is paid now
    assert 5 <= found.lateness.p50 <= found.lateness.p99 <= found.lateness.max < 60
    assert found.unproved == []


def test_an_order_that_waits_for_its_next_attempt_is_not_stuck(shop: Shop) -> None:
    shop = opened(shop).configured(lease=20.0)
    shop.place("42", due=-HOUR)
    shop.hooks.guard(lambda _: Answer.UNKNOWN)
    for _ in range(7):  # the last time for a minute, which is longer than any lease
        shop.redis.zadd("orders", {"42": shop.schedule.now()})
        assert shop.claim_and_expire() == {"unknown": 1}
    [next_try] = shop.schedule_as_dict().values()
    assert next_try > shop.schedule.now() + 30
    assert audit_orders(shop.expiry).wrongs == []


def test_without_a_table_of_events_it_says_what_it_cannot_prove(shop: Shop) -> None:
    shop.create(events=False)
    shop.place("42", due=-60.0, status="expired", enqueue=False)
    shop.place("43", due=60.0, status="expired", enqueue=False)
    found = audit_orders(shop.expiry)
    assert [(wrong.kind, wrong.cases[0].order_id) for wrong in found.wrongs] == [(WrongKind.EXPIRED_EARLY, "43")]
    assert found.lateness is None
    assert "Without an events table" in found.unproved[0]


def test_only_the_period_is_examined(shop: Shop) -> None:
    shop = opened(shop)
    expired(shop, "old", due=-3 * HOUR, at=2 * HOUR)
    expired(shop, "new", due=-3 * HOUR, at=0.5 * HOUR)
    assert audit_orders(shop.expiry, since=timedelta(hours=1)).expired == 1
    assert audit_orders(shop.expiry, since=4 * HOUR).expired == 2


def test_pages_are_read_to_their_ends(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.operate.audit.expiries.PAGE", 3)
    monkeypatch.setattr("orders.operate.audit.waiting.CHUNK", 3)
    shop = opened(shop)
    for number in range(20):
        expired(shop, f"right {number}", due=-2 * DAY if number % 2 else -60.0)
        shop.place(f"lost {number}", due=-HOUR, enqueue=False)
    found = audit_orders(shop.expiry)
    assert (found.expired, found.due) == (20, 20)
    [wrong] = found.wrongs
    assert (wrong.kind, wrong.number, len(wrong.cases)) == (WrongKind.OVERDUE_AND_UNSCHEDULED, 20, 10)


@on_sqlite
def test_all_shards_and_the_inbox_are_read(shop: Shop) -> None:
    # given ids in four shards, and one that another language has put into the inbox
    shop = opened(shop)
    settings = shop.settings.model_copy(update={"shards": 4})
    with closing(connect_schedule(settings)) as schedule:
        expiry = OrderExpiry(settings, schedule, shop.store)
        paid = [f"paid {number}" for number in range(20)]
        shop.place(*paid, due=-HOUR, status="paid", enqueue=False)
        schedule.enqueue((order_id, schedule.now() - HOUR) for order_id in paid)
        shop.place("in the inbox", due=-HOUR)
        # when
        found = audit_orders(expiry)
    # then
    assert found.scheduled == 21
    kinds = {wrong.kind: (wrong.number, wrong.cases[0].order_id) for wrong in found.wrongs}
    assert kinds[WrongKind.SCHEDULED_AND_FINAL][0] == 20
    assert kinds[WrongKind.STUCK_LEASE] == (1, "in the inbox")
    assert len(kinds) == 2


@pytest.mark.parametrize("id_type", ["integer", "uuid"])
def test_ids_of_any_type_are_matched_with_their_events(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, id_type: IdType
) -> None:
    monkeypatch.setattr("orders.operate.audit.expiries.PAGE", 2)
    shop.create(id_type)
    order_ids: list[Any] = [uuid4() if id_type == "uuid" else number for number in range(1, 6)]
    has_hex = id_type == "uuid" and shop.engine.dialect.name == "sqlite"
    stored = [order_id.hex for order_id in order_ids] if has_hex else order_ids
    shop.place(*stored, due=-60.0, status="expired", enqueue=False)
    for order_id in order_ids[1:]:
        write(shop, str(order_id), "expired", 59.0)
    found = audit_orders(shop.expiry)
    assert found.expired == 5
    [wrong] = found.wrongs
    assert (wrong.kind, [case.order_id for case in wrong.cases]) == (WrongKind.EVENT_MISSING, [str(order_ids[0])])


@on_sqlite
def test_no_period_is_longer_than_events_are_kept(shop: Shop) -> None:
    shop = opened(shop).configured(events_retention=HOUR)
    shop.place("42", due=-2 * HOUR, status="expired", enqueue=False)  # its event was pruned
    found = audit_orders(shop.expiry)
    assert found.wrongs == []
    assert found.until - found.since < timedelta(hours=1)
    assert "ORDERS_EVENTS_RETENTION" in found.unproved[0]


@on_sqlite
def test_the_schedule_of_another_database_is_not_audited(shop: Shop) -> None:
    opened(shop).schedule.register("another")
    with pytest.raises(WrongDatabase):
        audit_orders(shop.expiry)


@on_sqlite
@pytest.mark.parametrize("since", [0, -1, float("nan"), timedelta(days=400), "24h", True])
def test_a_period_that_is_none_is_an_error(shop: Shop, since: float) -> None:
    with pytest.raises(ValueError, match="it must be a number of seconds or a timedelta above 0, at most a year"):
        audit_orders(shop.expiry, since=since)


@on_sqlite
def test_the_command_prints_it_and_its_exit_status_tells(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["audit", *arguments], catch_exceptions=False)

    shop = opened(shop)
    monkeypatch.setattr("orders.process._current", shop.expiry)
    expired(shop, "41")
    right = run()
    assert (right.exit_code, right.output.splitlines()[0]) == (0, "Nothing is wrong.")
    assert "Not proved: How late is too late is not known: ORDERS_SLO is not set." in right.output
    assert "Lateness: p50 1.0" in right.output
    for number in range(12):
        shop.place(f"[{number}]", due=-HOUR, enqueue=False)
    wrong = run("--since", "2h")
    assert (wrong.exit_code, wrong.output.splitlines()[0]) == (1, "Wrong: overdue_and_unscheduled.")
    assert "  [3]: due at " in wrong.output
    assert "  … and 2 more" in wrong.output
    told = json.loads(run("--json").output)
    assert (told["is_right"], told["wrongs"][0]["kind"], told["expired"]) == (False, "overdue_and_unscheduled", 1)
    assert run("--since", "0").exit_code == run("--since", "soon").exit_code == 2
