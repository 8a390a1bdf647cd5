"""What the gateway says, and what becomes of the order."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest

from orders.errors import ExpiryFailed
from orders.hooks import Answer, Later
from orders.store.outcomes import State
from tests.conftest import Shop
from tests.gateway import Gateway, answers, fails
from tests.integration.guard.conftest import guarded, noted, on_sqlite, time_passes


def test_an_order_that_the_gateway_knows_to_be_paid_is_marked_paid(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    gateway.behave(answers("paid"))
    shop.place("42")
    assert shop.claim_and_expire() == {"paid": 1}
    assert shop.status("42") == "paid"
    assert shop.score("42") is None
    [event] = shop.events("42")
    assert (event.kind, event.data) == ("paid", {"by": "guard"})
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0


@on_sqlite
def test_an_order_that_is_not_paid_is_expired(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    gateway.behave(answers("unpaid"))
    shop.place("42")
    assert shop.claim_and_expire() == {"expired": 1}
    assert (shop.status("42"), shop.kinds("42"), shop.score("42")) == ("expired", ["expired"], None)
    assert gateway.asked == {"42": 1}


@on_sqlite
def test_an_order_that_is_being_paid_is_asked_about_again_with_backoff(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    gateway.behave(answers("processing"))
    shop.place("42")
    for number, seconds in [(1, 1), (2, 2), (3, 4), (4, 8)]:
        assert shop.claim_and_expire() == {"unknown": 1}
        # then nothing has happened to it, and nothing counts against it
        assert (shop.status("42"), shop.kinds("42")) == ("pending", [])
        assert noted(shop, "42") == {"error": "the guard does not know yet", "unknown": number}
        assert shop.redis.exists("{orders}:attempts") == 0
        assert shop.retries_after("42") == pytest.approx(seconds)
        time_passes(shop)
    # and once the gateway knows, it is over
    gateway.behave(answers("paid"))
    assert shop.claim_and_expire() == {"paid": 1}
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures") == 0


@on_sqlite
def test_explain_tells_that_the_guard_is_asked_again(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    gateway.behave(answers("processing"))
    shop.place("42")
    shop.claim_and_expire()
    explanation = shop.expiry.explain("42")
    assert explanation.next == "the guard is asked again: try 2 of 10"
    assert explanation.next_at == explanation.scheduled
    assert explanation.last_error == "the guard does not know yet"
    assert (explanation.attempts, explanation.leased_until) == (0, None)


@on_sqlite
def test_an_order_that_the_gateway_never_knows_is_buried_with_the_reason(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_limit=3, guard_end="bury")
    gateway.behave(answers("processing"))
    shop.place("42")
    for _ in range(2):
        assert shop.claim_and_expire() == {"unknown": 1}
        time_passes(shop)
    with pytest.raises(ExpiryFailed, match="1 of 1 orders could not be expired: 42: the guard does not know yet"):
        shop.claim_and_expire()
    assert (shop.status("42"), shop.kinds("42"), shop.score("42")) == ("pending", [], None)
    letter = shop.schedule.entry("42").letter
    assert letter
    assert letter["reason"] == "the guard does not know yet; it was asked 3 times"
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures") == 0


@on_sqlite
def test_or_it_is_expired_if_the_shop_wants_that(
    shop: Shop, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    shop = guarded(shop, gateway, guard_limit=3, guard_end="expire")
    gateway.behave(answers("processing"))
    shop.place("42")
    for _ in range(2):
        assert shop.claim_and_expire() == {"unknown": 1}
        time_passes(shop)
    assert shop.claim_and_expire() == {"expired": 1}
    assert (shop.status("42"), shop.kinds("42"), shop.score("42")) == ("expired", ["expired"], None)
    assert "the guard answered unknown 3 times for order 42" in caplog.text
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0


@on_sqlite
def test_only_an_answer_is_the_last_one(shop: Shop, gateway: Gateway) -> None:
    # given an order that the guard has not known often enough, since the limit was lowered
    shop = guarded(shop, gateway, guard_limit=10, guard_end="expire")
    gateway.behave(answers("processing"))
    shop.place("42")
    for _ in range(3):
        shop.claim_and_expire()
        time_passes(shop)
    shop = shop.configured(guard_limit=3)
    # when the guard fails, then that is not the end
    gateway.behave(fails)
    assert shop.claim_and_expire() == {"unknown": 1}
    assert shop.status("42") == "pending"
    # and when it does not know once more, it is
    time_passes(shop)
    gateway.behave(answers("processing"))
    assert shop.claim_and_expire() == {"expired": 1}


@on_sqlite
def test_a_payment_may_take_weeks(shop: Shop, gateway: Gateway) -> None:
    # given a shop that lets the guard not know for as long as it likes
    shop = guarded(shop, gateway, guard_limit=100_000)
    gateway.behave(answers("processing"))
    shop.place("42")
    shop.claim_and_expire()
    time_passes(shop)
    # when it has not known for more times than a float can double
    failure = shop.schedule.entry("42").failure
    shop.redis.hset("{orders}:failures", "42", json.dumps({**(failure or {}), "unknown": 2000}))
    # then it is asked again, as ever
    assert shop.claim_and_expire() == {"unknown": 1}
    assert noted(shop, "42")["unknown"] == 2001
    assert shop.retries_after("42") == pytest.approx(300)


@on_sqlite
def test_an_extension_begins_the_count_anew(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_limit=2)
    gateway.behave(answers("processing"))
    shop.place("42")
    shop.claim_and_expire()
    shop.expiry.extend("42", timeout=0)
    assert shop.claim_and_expire() == {"unknown": 1}
    assert noted(shop, "42")["unknown"] == 1


def test_a_gateway_that_will_not_decide_before_then_moves_the_deadline(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    shop.hooks.guard_hook = lambda order_id: Answer.LATER(until)
    shop = shop.configured()
    shop.place("42", "43")
    assert shop.claim_and_expire() == {"not_due": 2}
    row = shop.store.row("42")
    assert row
    assert (row.status, row.deadline) == ("pending", until)
    assert shop.schedule_as_dict() == {"42": until.timestamp(), "43": until.timestamp()}
    [event] = shop.events("42")
    assert (event.kind, event.data) == ("extended", {"deadline": until.isoformat(), "by": "guard"})
    # nothing counts against it
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0
    assert shop.schedule.stats()["guard_later"] == 2


@on_sqlite
def test_a_look_at_an_order_moves_its_deadline_too(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    until = datetime.now(UTC) + timedelta(hours=1)
    shop.hooks.guard_hook = lambda order_id: Answer.LATER(until)
    shop = shop.configured()
    shop.place("42")
    assert shop.expiry.check("42") is State.PENDING
    assert shop.score("42") == pytest.approx(until.timestamp(), abs=1e-5)


@on_sqlite
def test_an_order_that_was_paid_meanwhile_is_settled(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)

    def pays(order_id: str) -> Later:
        shop.expiry.pay(order_id)
        shop.expiry.enqueue(order_id, timeout=0)
        return Answer.LATER(datetime.now(UTC) + timedelta(hours=1))

    shop.hooks.guard_hook = pays
    asked = shop.configured()
    asked.place("42", "43")
    claim = asked.schedule.claim(10)
    shop.hooks.guard_hook = pays
    assert asked.expiry.expire(["42"], claim.lease) == {"closed": 1}
    assert asked.status("42") == "paid"


@on_sqlite
@pytest.mark.parametrize(
    ("given", "says"),
    [
        (lambda: Answer.LATER, "the guard failed: ValueError: Answer.LATER needs a time: return Answer.LATER(until)"),
        (lambda: Answer.LATER(datetime(2030, 1, 1)), "the guard failed: InvalidDeadline: the deadline"),  # noqa: DTZ001 - naive
        (
            lambda: Answer.LATER(cast("datetime", "soon")),
            "the guard failed: InvalidDeadline: a deadline must be an aware datetime",
        ),
        (lambda: Answer.PAID(datetime.now(UTC)), "the guard failed: TypeError: Answer.PAID takes no time"),
        (
            lambda: Answer.LATER(datetime(2020, 1, 1, tzinfo=UTC)),
            "the guard answered LATER with a time that has passed",
        ),
    ],
)
def test_later_without_a_time_to_come_is_no_answer(shop: Shop, gateway: Gateway, given: Any, says: str) -> None:
    shop = guarded(shop, gateway)
    shop.hooks.guard_hook = lambda order_id: given()
    shop = shop.configured()
    shop.place("42")
    assert shop.claim_and_expire() == {"unknown": 1}
    assert str(noted(shop, "42")["error"]).startswith(says)
    assert (shop.status("42"), shop.kinds("42")) == ("pending", [])
