"""Asking the payment gateway before an order is expired: a real gateway on this host, Redis and databases."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Event, Thread
from typing import Any

import pytest

from orders.counting import ANSWERS
from orders.errors import ExpiryFailed, StoreUnavailable
from orders.guarding import Guard
from orders.hooks import Answer
from orders.store import Payment, PaymentVerdict, State
from tests.conftest import Shop
from tests.gateway import (
    Behaviour,
    Gateway,
    answers,
    callback,
    closes,
    drips,
    fails,
    hangs,
    malformed,
    payment_guard,
    slow,
)

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""One database is enough where the row is not what matters."""

IMPATIENT = 0.3
"""A time-out in seconds for gateways that will not answer."""


@pytest.fixture(autouse=True)
def _no_question_outlives_its_test() -> Iterator[None]:
    yield
    wait_for_threads()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


def guard_threads() -> list[Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "orders-guard"]


def wait_for_threads() -> None:
    for thread in guard_threads():
        thread.join(10)


def guarded(shop: Shop, gateway: Gateway, **settings: object) -> Shop:
    """Return the shop with an orders table, and a guard that asks the gateway."""
    shop.create()
    shop.hooks.guard(payment_guard(gateway.url))
    return shop.configured(**settings)


def on_manual_clock(shop: Shop) -> Shop:
    """Have pauses and budgets of the guard pass by the shop's clock."""
    assert shop.hooks.guard_hook
    shop.expiry.guard = Guard(shop.hooks.guard_hook, shop.settings, monotonic=lambda: shop.clock.now().timestamp())
    return shop


def time_passes(shop: Shop) -> None:
    """Let everything that is scheduled be due, retries and leases included."""
    shop.redis.zadd("orders", dict.fromkeys(shop.schedule_as_dict(), 1.0))


def numbered(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def noted(shop: Shop, order_id: str) -> dict[str, Any]:
    """Return why an order waits, and how often it has, as the schedule has it: without the times."""
    failure = shop.schedule.entry(order_id).failure or {}
    return {name: value for name, value in failure.items() if name not in {"at", "retry_at"}}


def wait_of(shop: Shop, order_id: str) -> float:
    """Return the seconds until an order is due again."""
    return (shop.score(order_id) or 0) - shop.schedule.now()


# What the gateway says


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
    assert explanation.next == "the guard is asked again: for time 2 of 10"
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
    assert "the guard was asked 3 times about 42" in caplog.text
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
        assert wait_of(shop, "42") == pytest.approx(min(2 ** (number - 1), 300), abs=0.5)
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


# Who is asked about, and when


def test_a_batch_with_every_answer_gets_each_its_due(shop: Shop, gateway: Gateway) -> None:
    released: list[object] = []
    shop.hooks.on_expire(lambda session, order_ids: released.extend(order_ids))
    shop = guarded(shop, gateway, guard_timeout=1)  # long enough for those who do answer, on a busy machine
    for behaviour, order_id in [
        (answers("paid"), "paid"),
        (answers("unpaid"), "unpaid"),
        (answers("processing"), "processing"),
        (fails, "fails"),
        (malformed, "malformed"),
        (closes, "closes"),
        (hangs, "hangs"),
    ]:
        gateway.behave(behaviour, order_id)
        shop.place(order_id)
    assert shop.claim_and_expire() == {"paid": 1, "expired": 1, "unknown": 5}
    not_known = {"processing", "fails", "malformed", "closes", "hangs"}
    assert (shop.status("paid"), shop.status("unpaid")) == ("paid", "expired")
    assert {shop.status(order_id) for order_id in not_known} == {"pending"}
    assert set(shop.schedule_as_dict()) == not_known
    assert released == ["unpaid"]  # only what is expired gives back its stock
    assert shop.redis.exists("{orders}:attempts", "{orders}:dead") == 0
    stats = shop.schedule.stats()
    assert (stats["expired"], stats["closed"], stats["retried"]) == (1, 1, 5)
    answered = {answer: stats[counter] for answer, counter in ANSWERS.items()}
    assert answered == {"paid": 1, "unpaid": 1, "unknown": 1, "none": 4}


@on_sqlite
def test_a_batch_is_asked_about_in_parallel_within_bounds(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_parallel=4)
    gateway.behave(slow(0.1, answers("unpaid")))  # so that questions meet
    shop.place(*numbered(12))
    assert shop.claim_and_expire() == {"expired": 12}
    assert 1 < gateway.most_at_once <= 4
    assert gateway.asked == dict.fromkeys(numbered(12), 1)


def test_only_orders_that_are_pending_and_due_are_asked_about(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    shop.place("due")
    shop.place("paid", status="paid")
    shop.place("cancelled", status="cancelled")
    shop.place("extended", due=3600, enqueue=False)
    shop.redis.zadd("orders", {"extended": 1.0, "missing": 1.0})
    shop.redis.hset("{orders}:attempts", "missing", 3)
    claim = shop.schedule.claim(100)
    shop.place("lost")  # its lease is another's
    order_ids = ["due", "paid", "cancelled", "extended", "missing", "lost"]
    assert shop.expiry.expire(order_ids, claim.lease) == {
        "expired": 1,
        "closed": 2,
        "not_due": 1,
        "missing": 1,
        "retried": 1,
        "stale": 1,
    }
    assert gateway.asked == {"due": 1}
    assert shop.schedule.entry("missing").attempts == 4


@on_sqlite
def test_an_order_that_is_due_in_a_moment_is_waited_for_and_then_asked_about(shop: Shop, gateway: Gateway) -> None:
    # given a worker whose clock is a little ahead of the database's
    shop = guarded(shop, gateway)
    shop.place("42", due=0.2)

    def sleep(_: float) -> None:
        assert gateway.asked == {}
        shop.change("42", expires_at=datetime(2020, 1, 1, tzinfo=UTC))  # time passes

    shop.expiry._sleep = sleep
    assert shop.claim_and_expire() == {"expired": 1}
    assert gateway.asked == {"42": 1}


@on_sqlite
def test_an_order_that_kills_its_process_is_buried_without_asking(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    shop.place("42")
    shop.redis.hset("{orders}:attempts", "42", shop.settings.max_attempts)
    with pytest.raises(ExpiryFailed, match="none of 10 attempts came to an end"):
        shop.claim_and_expire()
    assert gateway.asked == {}


@on_sqlite
def test_an_order_in_its_grace_is_not_asked_about(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, grace=60)
    shop.place("42", due=-30)
    shop.redis.zadd("orders", {"42": 1.0})
    assert shop.claim_and_expire() == {"not_due": 1}
    assert gateway.asked == {}


def test_no_transaction_is_open_while_the_guard_is_asked(shop: Shop) -> None:
    # given a guard in whose time the order is paid, by another connection
    shop.create()
    in_use: list[int] = []

    @shop.hooks.guard
    def pays(order_id: str) -> Answer:
        in_use.append(shop.store._engine.pool.checkedout())  # type: ignore[attr-defined]
        assert shop.update_if_pending(order_id, status="paid")
        return Answer.UNPAID

    shop.place("42")
    # when it answers that the order was not paid
    assert shop.claim_and_expire() == {"closed": 1}
    # then nothing has kept the payment waiting, and it stands
    assert in_use == [0]
    assert shop.status("42") == "paid"
    assert (shop.score("42"), shop.kinds("42")) == (None, [])


@on_sqlite
def test_what_the_guard_said_is_lost_with_the_database_and_asked_for_again(
    shop: Shop, gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> Any:
        raise StoreUnavailable("the database is down")

    shop = guarded(shop, gateway)
    gateway.behave(answers("paid"))
    shop.place("42")
    with monkeypatch.context() as patch:
        patch.setattr(shop.store, "settle_paid", refuse)
        with pytest.raises(StoreUnavailable):
            shop.claim_and_expire()
    assert shop.redis.exists("{orders}:attempts") == 0
    time_passes(shop)
    assert shop.claim_and_expire() == {"paid": 1}
    assert gateway.asked == {"42": 2}


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
    assert wait_of(shop, "004") == pytest.approx(30, abs=1)
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
    def in_a_second(order_id: str) -> Answer:
        shop.clock.advance(1)
        return ask(order_id)

    shop = on_manual_clock(shop.configured(sweep_interval=1, lease=10, guard_timeout=2, guard_parallel=1))
    shop.place(*numbered(8))
    # when there are more orders than that allows
    assert shop.claim_and_expire() == {"expired": 5, "postponed": 3}
    # then the others are asked about by the next attempt, and it does not count against them
    assert gateway.asked == dict.fromkeys(numbered(5), 1)
    assert noted(shop, "007") == {"error": "the guard took too long for the others"}
    assert shop.redis.exists("{orders}:attempts") == 0
    assert wait_of(shop, "007") == pytest.approx(1, abs=0.5)
    time_passes(shop)
    assert shop.claim_and_expire() == {"expired": 3}


# Rivals while the gateway is asked


@on_sqlite
@pytest.mark.parametrize(
    ("answer", "report", "status", "then"),
    [
        (Answer.PAID, {"paid": 1}, "paid", {"closed": 1}),
        (Answer.UNPAID, {"expired": 1}, "expired", {"closed": 1}),
        (Answer.UNKNOWN, {"unknown": 1}, "pending", {"unknown": 1}),
    ],
)
def test_a_lease_that_runs_out_meanwhile_leaves_the_schedule_to_its_next_holder(
    shop: Shop, answer: Answer, report: dict[str, int], status: str, then: dict[str, int]
) -> None:
    # given a guard that takes so long that another sweep claims the order
    shop.create()

    @shop.hooks.guard
    def slow_once(order_id: str) -> Answer:
        if not shop.claim:
            shop.redis.zadd("orders", {order_id: 1.0})
            shop.claim = shop.schedule.claim(10)
        return answer

    shop.place("42")
    # when the first worker goes on
    assert shop.claim_and_expire() == report
    # then the row is what it may be, and the schedule is not its to change
    assert shop.status("42") == status
    assert shop.claim
    assert shop.score("42") == shop.claim.lease
    entry = shop.schedule.entry("42")
    assert (entry.failure, entry.letter) == (None, None)
    # and the second worker finds what it finds
    assert shop.expiry.expire(["42"], shop.claim.lease) == then
    assert (shop.status("42"), shop.score("42") is None) == (status, status != "pending")


def test_an_extension_meanwhile_stands(shop: Shop) -> None:
    shop.create()
    deadline = datetime.now(UTC) + timedelta(hours=1)

    @shop.hooks.guard
    def extends(order_id: str) -> Answer:
        assert shop.expiry.extend(order_id, expires_at=deadline)
        return Answer.UNPAID

    shop.place("42")
    assert shop.claim_and_expire() == {"not_due": 1}
    assert (shop.status("42"), shop.kinds("42")) == ("pending", ["extended"])
    assert shop.score("42") == pytest.approx(deadline.timestamp(), abs=1e-5)


@on_sqlite
def test_a_cancellation_meanwhile_stands_against_paid(shop: Shop) -> None:
    shop.create()

    @shop.hooks.guard
    def cancels(order_id: str) -> Answer:
        assert shop.update_if_pending(order_id, status="cancelled")
        return Answer.PAID

    shop.place("42")
    assert shop.claim_and_expire() == {"closed": 1}
    assert (shop.status("42"), shop.kinds("42"), shop.score("42")) == ("cancelled", [], None)


# Checking one order


@pytest.mark.parametrize(
    ("behaviour", "state", "kinds"),
    [
        (answers("paid"), State.PAID, ["paid"]),
        (answers("unpaid"), State.EXPIRED, ["expired"]),
        (answers("processing"), State.OVERDUE, []),
        (fails, State.OVERDUE, []),
    ],
    ids=["paid", "unpaid", "processing", "fails"],
)
def test_check_asks_about_an_overdue_order(
    shop: Shop, gateway: Gateway, behaviour: Behaviour, state: State, kinds: list[str]
) -> None:
    shop = guarded(shop, gateway)
    gateway.behave(behaviour)
    shop.place("42")
    before = shop.score("42")
    assert shop.expiry.check("42") is state
    assert shop.kinds("42") == kinds
    assert shop.score("42") == (before if state is State.OVERDUE else None)
    assert shop.redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0
    assert gateway.asked == {"42": 1}


@on_sqlite
def test_check_asks_about_no_other_order(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    shop.place("pending", due=60)
    for status in ("paid", "expired", "cancelled"):
        shop.place(status, status=status)
    states = [shop.expiry.check(order_id) for order_id in ("pending", "paid", "expired", "cancelled", "none")]
    assert states == [State.PENDING, State.PAID, State.EXPIRED, State.CLOSED, State.MISSING]
    assert gateway.asked == {}


@on_sqlite
def test_check_and_workers_share_the_breaker(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway, guard_failures=2)
    gateway.behave(fails)
    shop.place("42")
    for _ in range(5):
        assert shop.expiry.check("42") is State.OVERDUE
    assert shop.claim_and_expire() == {"postponed": 1}
    assert gateway.asked == {"42": 2}


# A gateway that does not tell all it knows


def test_money_that_the_gateway_denied_is_to_be_refunded(shop: Shop, gateway: Gateway) -> None:
    # given a payment in time, of which the gateway does not know when it is asked
    shop = guarded(shop, gateway)
    gateway.behave(answers("unpaid"))
    shop.place("42")
    assert shop.claim_and_expire() == {"expired": 1}
    # when its callback comes after all, and once more
    told = callback("42", paid_at=datetime.now(UTC) - timedelta(minutes=5))
    late = shop.expiry.pay(told["id"], reference=told["reference"])
    # then the order stays expired, and the money goes back once
    assert late.verdict is PaymentVerdict.TOO_LATE
    assert late.refund_key
    assert shop.expiry.pay(told["id"], reference=told["reference"]) == late
    assert (shop.status("42"), shop.kinds("42")) == ("expired", ["expired", "late_payment"])


@on_sqlite
def test_the_callback_of_a_payment_that_the_guard_has_found_is_no_second_payment(shop: Shop, gateway: Gateway) -> None:
    shop = guarded(shop, gateway)
    gateway.behave(answers("paid"))
    shop.place("42")
    assert shop.claim_and_expire() == {"paid": 1}
    told = callback("42", paid_at=datetime.now(UTC) - timedelta(minutes=5))
    for _ in range(2):
        payment = shop.expiry.pay(told["id"], reference=told["reference"])
        assert payment == Payment("42", PaymentVerdict.DUPLICATE)
        assert payment.is_accepted
    assert shop.kinds("42") == ["paid"]
    # and one with another reference is
    second = shop.expiry.pay("42", reference="ch_another")
    assert (second.verdict, second.is_accepted) == (PaymentVerdict.DUPLICATE, False)
    assert second.refund_key


@on_sqlite
@pytest.mark.parametrize("minds", [False, True], ids=["takes it", "minds"])
def test_a_payment_after_the_deadline_counts_unless_the_shop_minds(shop: Shop, gateway: Gateway, minds: bool) -> None:
    # given an order whose deadline has passed, and that was paid since
    def deadline(order_id: str) -> datetime:
        row = shop.store.row(order_id)
        assert row
        assert row.deadline
        return row.deadline

    shop.create()
    shop.hooks.guard(payment_guard(gateway.url, deadline=deadline if minds else None))
    shop.place("42", due=-60)
    paid_at = datetime.now(UTC) - timedelta(seconds=30)
    gateway.behave(answers("paid", paid_at=paid_at.isoformat()))
    # when it is to be expired, and then the callback comes
    report = shop.claim_and_expire()
    told = callback("42", paid_at=paid_at)
    payment = shop.expiry.pay(told["id"], reference=told["reference"])
    # then a shop that minds gives the money back, and another keeps it
    if minds:
        assert (report, shop.status("42")) == ({"expired": 1}, "expired")
        assert payment.verdict is PaymentVerdict.TOO_LATE
        assert payment.refund_key
    else:
        assert (report, shop.status("42")) == ({"paid": 1}, "paid")
        assert payment == Payment("42", PaymentVerdict.DUPLICATE)
