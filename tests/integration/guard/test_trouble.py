"""What the gateway does instead of an answer, and a gateway that is down."""

from __future__ import annotations

import threading
from threading import Event, Thread
from typing import Any

import pytest

from orders.hooks import Answer, Later
from tests.conftest import Shop
from tests.gateway import Behaviour, Gateway, answers, closes, drips, fails, hangs, malformed, payment_guard, slow
from tests.integration.guard.conftest import (
    IMPATIENT,
    guard_threads,
    guarded,
    noted,
    numbered,
    on_manual_clock,
    on_sqlite,
    time_passes,
    wait_for_threads,
)

# What the gateway does instead


@on_sqlite
@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (fails, "the guard failed: HTTPError: HTTP Error 500: Internal Server Error"),
        (malformed, "the guard failed: JSONDecodeError: Expecting value: line 1 column 1 (char 0)"),
        (closes, "the guard failed: RemoteDisconnected: Remote end closed connection without response"),
        (answers("refunded"), "the guard failed: KeyError: 'refunded'"),
    ],
    ids=["fails", "malformed", "closes", "unheard of"],
)
def test_an_answer_that_is_none_expires_nothing(
    shop: Shop, gateway: Gateway, behaviour: Behaviour, reason: str
) -> None:
    shop = guarded(shop, gateway)
    gateway.behave(behaviour)
    shop.place("42")
    assert shop.claim_and_expire() == {"unknown": 1}
    assert shop.status("42") == "pending"
    assert noted(shop, "42") == {"error": reason, "unanswered": 1}
    assert shop.redis.exists("{orders}:attempts") == 0
    assert gateway.asked == {"42": 1}


@on_sqlite
@pytest.mark.parametrize("behaviour", [hangs, drips, slow(60, answers("unpaid"))], ids=["hangs", "drips", "slow"])
def test_a_gateway_that_does_not_answer_expires_nothing(shop: Shop, gateway: Gateway, behaviour: Behaviour) -> None:
    shop = guarded(shop, gateway, guard_timeout=IMPATIENT)
    gateway.behave(behaviour)
    shop.place("42")
    assert shop.claim_and_expire() == {"unknown": 1}
    assert shop.status("42") == "pending"
    assert noted(shop, "42") == {"error": "the guard gave no answer within 0.3 s", "unanswered": 1}
    assert shop.redis.exists("{orders}:attempts") == 0


def raises(_: str) -> Answer:
    raise RuntimeError("no such account")


@on_sqlite
@pytest.mark.parametrize(
    ("guard", "reason"),
    [
        (raises, "the guard failed: RuntimeError: no such account"),
        (lambda _: None, "the guard failed: ValueError: None is not a valid Answer"),
        (lambda _: True, "the guard failed: ValueError: True is not a valid Answer"),
        (lambda _: "PAID", "the guard failed: ValueError: 'PAID' is not a valid Answer"),
    ],
    ids=["raises", "nothing", "no answer", "another word"],
)
def test_a_guard_in_trouble_expires_nothing(shop: Shop, guard: Any, reason: str) -> None:
    shop.create()
    shop.hooks.guard(guard)
    shop.place("42")
    assert shop.claim_and_expire() == {"unknown": 1}
    assert shop.status("42") == "pending"
    assert noted(shop, "42") == {"error": reason, "unanswered": 1}
    assert shop.redis.exists("{orders}:attempts") == 0


@on_sqlite
@pytest.mark.parametrize("end", ["bury", "expire"])
def test_trouble_delays_an_order_for_ever_and_ends_nothing(shop: Shop, gateway: Gateway, end: str) -> None:
    shop = guarded(shop, gateway, guard_limit=2, guard_end=end, guard_failures=100)
    gateway.behave(fails)
    shop.place("42")
    for number in range(1, 13):
        assert shop.claim_and_expire() == {"unknown": 1}
        assert (shop.status("42"), noted(shop, "42")["unanswered"]) == ("pending", number)
        assert shop.retries_after("42") == pytest.approx(min(2 ** (number - 1), 300))
        time_passes(shop)
    gateway.behave(answers("unpaid"))
    assert shop.claim_and_expire() == {"expired": 1}


@on_sqlite
def test_trouble_between_two_answers_counts_for_neither(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_limit=3)
    shop.place("42")
    for behaviour, counts in [
        (answers("processing"), {"unknown": 1}),
        (fails, {"unknown": 1, "unanswered": 1}),
        (fails, {"unknown": 1, "unanswered": 2}),
        (answers("processing"), {"unknown": 2}),
    ]:
        gateway.behave(behaviour)
        assert shop.claim_and_expire() == {"unknown": 1}
        assert {name: count for name, count in noted(shop, "42").items() if name != "error"} == counts
        time_passes(shop)


@on_sqlite
def test_an_answer_after_the_time_out_is_ignored(shop: Shop) -> None:
    # given three orders, two of which are asked about at a time. The first answer is overdue when the third order is
    # asked about, and comes before that is answered
    shop.create()
    asked, is_overdue = dict[str, Thread](), Event()

    @shop.hooks.guard
    def late(order_id: str) -> Answer:
        asked[order_id] = threading.current_thread()
        if order_id == "3":
            is_overdue.set()
            asked["1"].join(10)
        is_overdue.wait(10)
        return Answer.PAID if order_id == "1" else Answer.UNPAID

    # On a clock that stands, each in turn is waited for as long as one may take.
    shop = on_manual_clock(shop.configured(guard_timeout=IMPATIENT, guard_parallel=2))
    shop.place("1", "2", "3")
    # when they are to be expired
    assert shop.claim_and_expire() == {"unknown": 1, "expired": 2}
    # then what was said too late counts for nothing
    assert [shop.status(order_id) for order_id in "123"] == ["pending", "expired", "expired"]
    assert noted(shop, "1")["error"] == "the guard gave no answer within 0.3 s"


@on_sqlite
def test_an_answer_after_the_attempt_is_ignored(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_timeout=IMPATIENT)
    gateway.behave(slow(2 * IMPATIENT, answers("paid")))
    shop.place("42")
    assert shop.claim_and_expire() == {"unknown": 1}
    assert len(guard_threads()) == 1
    wait_for_threads()
    assert (shop.status("42"), shop.kinds("42")) == ("pending", [])
    assert shop.score("42") is not None


# A gateway that is down


@on_sqlite
def test_after_failures_in_a_row_nobody_is_asked_and_orders_wait(shop: Shop, gateway: Gateway) -> None:
    shop = on_manual_clock(guarded(shop, gateway, guard_failures=3, guard_pause=30, guard_parallel=1))
    gateway.behave(fails)
    shop.place(*numbered(5))
    # when three questions fail
    assert shop.claim_and_expire() == {"unknown": 3, "postponed": 2}
    # then the others wait for the end of the pause, and it does not count against them
    assert gateway.asked == {"000": 1, "001": 1, "002": 1}
    assert noted(shop, "004") == {"error": "the guard is not asked: it failed too often"}
    assert shop.retries_after("004") == pytest.approx(30)
    # and nobody is asked during the pause, though the gateway is back
    gateway.behave(answers("unpaid"))
    for _ in range(20):
        time_passes(shop)
        shop.clock.advance(1)
        assert shop.claim_and_expire() == {"postponed": 5}
    assert gateway.asked.total() == 3
    assert {shop.status(order_id) for order_id in numbered(5)} == {"pending"}
    assert shop.redis.exists("{orders}:attempts", "{orders}:dead") == 0
    # and those that were asked about keep their count
    assert [noted(shop, order_id).get("unanswered") for order_id in numbered(5)] == [1, 1, 1, None, None]


@on_sqlite
def test_after_the_pause_one_is_asked_about_and_all_if_there_is_an_answer(shop: Shop, gateway: Gateway) -> None:
    shop = on_manual_clock(guarded(shop, gateway, guard_failures=3, guard_pause=30, guard_parallel=4))
    gateway.behave(fails)
    shop.place(*numbered(3))
    assert shop.claim_and_expire() == {"unknown": 3}
    shop.place(*numbered(9)[3:])
    # when the pause is over, and the gateway is not back
    shop.clock.advance(31)
    time_passes(shop)
    assert shop.claim_and_expire() == {"unknown": 1, "postponed": 8}
    assert gateway.asked.total() == 3 + 1
    # and when it is
    gateway.behave(answers("unpaid"))
    shop.clock.advance(31)
    time_passes(shop)
    assert shop.claim_and_expire() == {"expired": 9}
    assert gateway.asked.total() == 3 + 1 + 9


@on_sqlite
def test_a_gateway_that_does_not_know_is_not_down(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_failures=3)
    gateway.behave(answers("processing"))
    shop.place(*numbered(20))
    assert shop.claim_and_expire() == {"unknown": 20}
    assert gateway.asked.total() == 20


@on_sqlite
def test_a_gateway_that_hangs_is_soon_left_alone(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_timeout=IMPATIENT, guard_parallel=16, guard_failures=3)
    gateway.behave(hangs)
    shop.place(*numbered(100))
    # 16 at first, and one more for each of the two time-outs before the third
    assert shop.claim_and_expire() == {"unknown": 18, "postponed": 82}
    assert gateway.asked.total() <= 18
    assert {shop.status(order_id) for order_id in numbered(100)} == {"pending"}


@on_sqlite
def test_threads_that_are_left_behind_are_bounded(shop: Shop, gateway: Gateway) -> None:
    # given a gateway that hangs, and a breaker that does not mind
    shop = guarded(shop, gateway, guard_timeout=0.1, guard_parallel=2, guard_failures=1000)
    gateway.behave(hangs)
    shop.place(*numbered(20))
    # when it is asked again and again
    for _ in range(5):
        shop.claim_and_expire()
        assert len(guard_threads()) <= 4
        time_passes(shop)
    # then the connections that it holds are bounded too
    assert gateway.most_at_once <= 4
    # and once it lets go of them, it is asked again
    gateway.behave(answers("unpaid"))
    gateway.release()
    wait_for_threads()
    assert shop.claim_and_expire() == {"expired": 20}


@on_sqlite
def test_questions_stop_after_half_a_lease(shop: Shop, gateway: Gateway) -> None:
    # given a lease of 10 s, and a gateway that takes a second for each answer
    shop.create()
    ask = payment_guard(gateway.url)

    @shop.hooks.guard
    def in_a_second(order_id: str) -> Answer | Later:
        shop.clock.advance(1)
        return ask(order_id)

    shop = on_manual_clock(shop.configured(sweep_interval=1, lease=10, guard_timeout=2, guard_parallel=1))
    shop.place(*numbered(8))
    # when there are more orders than that allows
    assert shop.claim_and_expire() == {"expired": 5, "postponed": 3}
    # then the others are asked about by the next attempt, and it does not count against them
    assert gateway.asked == dict.fromkeys(numbered(5), 1)
    assert noted(shop, "007") == {"error": "the guard is not asked: it took too long for other orders"}
    assert shop.redis.exists("{orders}:attempts") == 0
    assert shop.retries_after("007") == pytest.approx(1)
    time_passes(shop)
    assert shop.claim_and_expire() == {"expired": 3}
