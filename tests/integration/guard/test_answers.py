"""What the gateway says, and what becomes of the order."""

from __future__ import annotations

import json

import pytest

from orders.errors import ExpiryFailed
from tests.conftest import Shop
from tests.gateway import Gateway, answers, fails
from tests.integration.guard.conftest import guarded, noted, on_sqlite, time_passes, wait_of


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
        assert wait_of(shop, "42") == pytest.approx(seconds, abs=0.5)
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
    assert wait_of(shop, "42") == pytest.approx(300, abs=0.5)


@on_sqlite
def test_an_extension_begins_the_count_anew(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_limit=2)
    gateway.behave(answers("processing"))
    shop.place("42")
    shop.claim_and_expire()
    shop.expiry.extend("42", timeout=0)
    assert shop.claim_and_expire() == {"unknown": 1}
    assert noted(shop, "42")["unknown"] == 1
