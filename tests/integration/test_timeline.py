"""What `orders explain` and the timeline of the operators' page tell of an order, in sentences."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from orders.cli import app
from orders.clock import distance, local
from orders.expiry import Explanation, Step, extend_orders, timeline
from orders.hooks import Answer
from tests.conftest import Shop

BERLIN = ZoneInfo("Europe/Berlin")
NOON = datetime(2030, 1, 31, 11, tzinfo=UTC)


def told(shop: Shop, order_id: str = "42") -> list[str]:
    """Return the sentences about an order, the first to the last but one."""
    return [step.what for step in steps(shop, order_id)][:-1]


def steps(shop: Shop, order_id: str = "42") -> list[Step]:
    return timeline(shop.expiry.explain(order_id), BERLIN)


def known(shop: Shop, order_id: str = "42") -> Explanation:
    return shop.expiry.explain(order_id)


def test_times_for_people() -> None:
    assert local(NOON, BERLIN) == "2030-01-31 12:00:00 CET"
    assert local(datetime(2030, 7, 31, 11, tzinfo=UTC), BERLIN) == "2030-07-31 13:00:00 CEST"
    assert local(datetime.max.replace(tzinfo=UTC), BERLIN) == "9999-12-31 23:59:59 UTC"
    far = {0: "now", 12: "in 12 s", 119: "in 119 s", 120: "in 2 min", 7199: "in 119 min", 7200: "in 2 h", 2e5: "in 2 d"}
    assert {seconds: distance(NOON + timedelta(seconds=seconds), NOON) for seconds in far} == far
    assert distance(NOON - timedelta(seconds=200), NOON) == "3 min ago"


def test_an_order_that_is_extended_held_and_cancelled(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=600)
    assert told(shop) == [f"Placed, to be paid by {local(known(shop).deadline or NOON, BERLIN)}", "Deadline"]
    shop.expiry.extend("42", expires_at=NOON)
    shop.expiry.hold("42", NOON + timedelta(hours=1) - datetime.now(UTC))
    extend_orders(shop.expiry, due_before=NOON + timedelta(days=1), until=NOON + timedelta(hours=2))
    shop.store.hold("42", NOON + timedelta(hours=3), by="guard")
    shop.expiry.cancel("42", reason="by the customer")
    placed, extended, held, together, guarded, cancelled, deadline = told(shop)
    assert (placed, deadline) == ("Placed", "Deadline")
    assert extended == "Extended to 2030-01-31 12:00:00 CET by the shop"
    assert held.startswith("Held until 2030-01-31 1")
    assert held.endswith(" CET, while a payment was in progress")
    assert together == "Extended to 2030-01-31 14:00:00 CET, together with other orders"
    assert guarded == "Extended to 2030-01-31 15:00:00 CET by the guard: the payment gateway cannot tell before"
    assert cancelled == "Cancelled. Reason: by the customer"
    assert [step.what for step in steps(shop)][-1] == "Next: nothing: it is not scheduled"


def test_an_order_that_is_paid(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43", "44", due=60)
    shop.expiry.pay("42", reference="ch_1")
    shop.expiry.pay("43")
    shop.store.settle_paid(["44"])
    assert [told(shop, order_id)[1] for order_id in ("42", "43", "44")] == [
        "Paid by ch_1",
        "Paid",
        "Paid, as the guard found out",
    ]
    payment = shop.expiry.pay("42", reference="ch_2")
    assert told(shop)[2] == f"A second payment ch_2 came: refund it with the idempotency key {payment.refund_key}"


def test_an_order_that_is_paid_late_and_revived(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43", due=-60)
    shop.claim_and_expire()
    late = shop.expiry.pay("42", reference="ch_1")
    shop.hooks.on_late_payment(lambda session, order_id: True)
    assert shop.expiry.pay("43", reference="ch_2").was_revived
    refund = f"A payment ch_1 came after it had expired: refund it with the idempotency key {late.refund_key}"
    assert told(shop)[1:] == ["The deadline passed", "Expired, unpaid", refund]
    assert told(shop, "43")[-1] == "Paid after it had expired, by ch_2: the shop took its stock again"


def test_a_payment_for_a_cancelled_order(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-60)
    shop.expiry.cancel("42")
    payment = shop.expiry.pay("42")
    assert f"A payment came after it was closed: refund it with the idempotency key {payment.refund_key}" in told(shop)


@pytest.mark.parametrize("times", [1, 2])
def test_it_is_warned_of_whatever_gave_the_stock_back_twice(shop: Shop, times: int) -> None:
    shop.create()
    shop.place("42", "43", due=60)
    for _ in range(times):
        shop.expiry.cancel("42")
        shop.expiry.cancel("43")
        shop.change("42", status="pending")
        shop.change("43", status="pending", expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    warned = "it has been cancelled 2 times: somebody made it pending again in between"
    assert known(shop).warning == (warned if times == 2 else None)
    shop.store.expire(["43"])
    warned = f"it has been cancelled or expired {times + 1} times: somebody made it pending again in between"
    assert known(shop, "43").warning == warned
    assert "Expired again, because somebody had made it pending" in told(shop, "43")


def test_a_second_time_is_warned_of_although_the_first_is_too_long_ago(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=600)
    shop.expiry.cancel("42")
    shop.change("42", status="pending")
    for number in range(19):
        shop.expiry.extend("42", expires_at=NOON + timedelta(seconds=number))
    assert known(shop).warning is None
    shop.expiry.cancel("42")
    assert told(shop)[0] == "Placed; only the latest 20 events are shown"
    assert known(shop).warning == "it has been cancelled 2 times: somebody made it pending again in between"


def test_attempts_that_failed_and_what_is_kept(shop: Shop) -> None:
    shop.create()
    shop.redis.zadd("orders", {"42": 1.0})
    shop.claim_and_expire()
    assert told(shop)[:2] == ["There is no such row", "Attempt 1 failed"]
    assert steps(shop)[1].detail == "the table has no such row"
    kept = shop.configured(condition="id <> '43'")
    kept.place("43", due=-60)
    kept.claim_and_expire()
    assert "Kept by the shop's condition, once so far" in told(kept, "43")


def test_what_the_guard_said(shop: Shop) -> None:
    shop.create()

    def ask(order_id: str) -> Answer:
        answers.append(order_id)
        if len(answers) > 1:
            raise ConnectionError("no gateway")
        return Answer.UNKNOWN

    answers: list[str] = []
    shop.hooks.guard(ask)
    shop.place("42", due=-60)
    shop.claim_and_expire()
    assert "The guard did not know whether it is paid, once so far" in told(shop)
    shop.redis.zadd("orders", {"42": 1.0})
    shop.claim_and_expire()
    assert "The guard was asked, and gave no answer" in told(shop)


def test_a_buried_order_tells_how_often_it_was_tried(shop: Shop) -> None:
    shop.create("integer")
    shop.redis.hset("{orders}:dead", "42", '{"reason": "no stock", "attempts": 10, "buried_at": 1900000000}')
    assert known(shop).attempts == 10
    buried = next(step for step in steps(shop) if step.what.startswith("Buried"))
    assert (buried.what, buried.detail) == ("Buried after attempt 10", "no stock")
    assert steps(shop)[-1].what == "Next: nothing: it is a dead letter, until somebody requeues or drops it"


def test_an_attempt_whose_process_died(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-60)
    shop.redis.hset("{orders}:attempts", "42", 2)
    assert told(shop)[-1] == "Attempts that were started and have not ended: 2"


def test_an_event_whose_handler_fails(shop: Shop) -> None:
    def fail(event: object) -> None:
        raise RuntimeError("no mail")

    def delivery() -> str:
        return next(step.detail for step in steps(shop) if step.what == "Paid")

    shop.create()
    shop.place("42", due=60)
    shop.expiry.pay("42")
    assert delivery() == "no handler is registered"
    shop.hooks.on_event(fail)
    assert delivery() == "not delivered yet"
    with pytest.raises(Exception, match="no mail"):
        shop.expiry.deliver()
    assert delivery() == "failed deliveries: 1, last error: RuntimeError: no mail"
    shop.hooks.event_hooks[:] = [lambda event: None]
    with shop.engine.begin() as connection:
        connection.execute(sa.text("UPDATE order_events SET try_at = '2026-01-01 00:00:00'"))
    shop.expiry.deliver()
    assert delivery() == ""


class TestTheScheduleAndTheRow:
    """A lease is known from the list of leases; any other score that is not the deadline is one that differs."""

    def test_an_id_without_a_row(self, shop: Shop) -> None:
        shop.create()
        shop.redis.zadd("orders", {"42": time.time() + 600})
        assert known(shop).leased_until is None
        assert told(shop) == ["There is no such row", "Scheduled, without a row"]
        assert known(shop).next == "a worker finds no row, and tries again later"

    @pytest.mark.parametrize("shards", [1, 3])
    def test_a_score_in_whole_seconds(self, shop: Shop, shards: int) -> None:
        shop = shop if shards == 1 else shop.configured(shards=shards)
        shop.create()
        shop.place("42", due=600)
        deadline = known(shop).deadline or NOON
        shop.schedule.enqueue([("42", deadline.timestamp() + 0.6)])
        found = known(shop)
        assert (found.leased_until, round(found.differs_by or 0, 3)) == (None, 0.6)
        assert told(shop)[-1] == "Scheduled: differs from the deadline in its row by +0.6 s"
        # and what a sweep has claimed is leased
        shop.schedule.enqueue([("42", time.time() - 1)])
        [claim] = [claim for each in shop.schedule.shards if (claim := each.claim(1)).claimed]
        found = known(shop)
        assert (found.leased_until, found.differs_by) == (datetime.fromtimestamp(claim.lease_ends, UTC), None)
        assert "The lease of the sweep that has claimed it ends" in told(shop)

    def test_a_row_whose_deadline_is_later(self, shop: Shop) -> None:
        shop.create()
        shop.place("42", due=60)
        shop.change("42", expires_at=NOON)
        assert known(shop).next == (
            "a worker finds that it is not due yet, and schedules it at the deadline in its row"
        )
        assert (known(shop).differs_by or 0) < -60


@pytest.fixture
def _process(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.process._current", shop.expiry)


@pytest.mark.usefixtures("_process")
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
class TestTheCommand:
    def run(self, *arguments: str) -> tuple[int, str]:
        ran = CliRunner().invoke(app, ["explain", *arguments], catch_exceptions=False, env={"COLUMNS": "160"})
        return ran.exit_code, ran.output

    @pytest.fixture
    def _berlin(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
        monkeypatch.undo()
        time.tzset()

    @pytest.mark.usefixtures("_berlin")
    def test_it_tells_the_story_in_the_zone_of_the_process(self, shop: Shop) -> None:
        shop.create()
        shop.place("42", due=600)
        shop.expiry.extend("42", expires_at=NOON)
        status, output = self.run("42")
        lines = [line.rstrip() for line in output.splitlines()]
        assert (status, lines[0], lines[1].strip()) == (0, "order 42: pending", "Placed")
        assert re.search(r" (now|\d+ s ago) ", lines[2])
        assert lines[2].endswith("Extended to 2030-01-31 12:00:00 CET by the shop (no handler is registered)")
        assert lines[3].startswith("2030-01-31 12:00:00 CET")
        assert lines[-1].endswith("Next: a sweep claims it, and a worker expires it")

    @pytest.mark.parametrize("as_json", [True, False])
    def test_there_is_no_such_order(self, shop: Shop, *, as_json: bool) -> None:
        shop.create("integer")
        status, output = self.run("nope", *(["--json"] if as_json else []))
        assert status == 1
        assert output.startswith('{"order_id": "nope", "state": null' if as_json else "order nope: no such order\n")

    def test_the_warning_is_printed(self, shop: Shop) -> None:
        shop.create()
        shop.place("42", due=60)
        for _ in range(2):
            shop.expiry.cancel("42")
            shop.change("42", status="pending")
        assert "warning: it has been cancelled 2 times" in self.run("42")[1]


def test_django_sets_the_zone_of_its_processes() -> None:
    """As `orders.clock.local` relies on it: ``TIME_ZONE`` is the zone of a process that has read Django's settings."""
    code = (
        "from datetime import UTC, datetime; from django.conf import settings; settings.TIME_ZONE; "
        "from orders.clock import local; print(local(datetime(2030, 1, 31, 11, tzinfo=UTC)))"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.contrib.django.shop.settings", "TZ": "UTC"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout == "2030-01-31 20:00:00 JST\n", ran.stderr
