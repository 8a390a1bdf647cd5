"""Who is asked about, and when: by workers, and where one order is checked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from orders.errors import ExpiryFailed, StoreUnavailable
from orders.hooks import Answer
from orders.schedule.counters import ANSWERS
from orders.store.outcomes import State
from tests.conftest import Shop
from tests.gateway import Behaviour, Gateway, answers, closes, fails, hangs, malformed, slow
from tests.integration.guard.conftest import guarded, numbered, on_sqlite, time_passes

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
        (answers("later", until=(datetime.now(UTC) + timedelta(hours=1)).isoformat()), "later"),
    ]:
        gateway.behave(behaviour, order_id)
        shop.place(order_id)
    assert shop.claim_and_expire() == {"paid": 1, "expired": 1, "unknown": 5, "not_due": 1}
    not_known = {"processing", "fails", "malformed", "closes", "hangs"}
    assert (shop.status("paid"), shop.status("unpaid")) == ("paid", "expired")
    assert {shop.status(order_id) for order_id in not_known} == {"pending"}
    assert set(shop.schedule_as_dict()) == {*not_known, "later"}
    assert released == ["unpaid"]  # only what is expired gives back its stock
    assert shop.redis.exists("{orders}:attempts", "{orders}:dead") == 0
    stats = shop.schedule.stats()
    assert (stats["expired"], stats["closed"], stats["retried"]) == (1, 1, 5)
    answered = {answer: stats[counter] for answer, counter in ANSWERS.items()}
    assert answered == {"paid": 1, "unpaid": 1, "unknown": 1, "later": 1, "none": 4}


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
    with pytest.raises(ExpiryFailed, match="none of 10 attempts finished"):
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
        in_use.append(shop.store.transactions.engine.pool.checkedout())  # type: ignore[attr-defined]
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
