"""What a worker does with a message: the table of outcomes, on a real Redis and real databases."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import cast

import pytest
from redis import Redis

from orders.errors import ExpiryFailed, StoreError, StoreUnavailable
from orders.expiry import dispositions
from orders.expiry.use_cases import OrderExpiry
from orders.store.outcomes import Outcome, Verdict
from orders.store.sql_store import SqlStore
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter


class Failing:
    """Makes some orders fail in a store, or everything."""

    def __init__(self, shop: Shop, *poison: str, outage: bool = False) -> None:
        self.store = shop.open_store()
        self._expire = self.store.expire
        self.store.expire = self.expire  # type: ignore[method-assign]
        self._poison = set(poison)
        self._outage = outage
        self.calls: list[Sequence[str]] = []

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        self.calls.append(order_ids)
        if self._outage:
            raise StoreUnavailable("the database is down")
        if poison := self._poison.intersection(order_ids):
            raise ValueError(f"no stock for {sorted(poison)}")
        return self._expire(order_ids)


def with_store(shop: Shop, store: SqlStore | Failing) -> OrderExpiry:
    store = store.store if isinstance(store, Failing) else store
    return shop.adapter.expiry(shop.settings, shop.schedule, store, sleep=shop.slept.append, jitter=lambda: 0.0)


def attempts(redis: Redis) -> dict[str, int]:
    counted = cast("dict[bytes, bytes]", redis.hgetall("{orders}:attempts"))
    return {order_id.decode(): int(number) for order_id, number in counted.items()}


def dead_letter(redis: Redis, order_id: str) -> dict[str, object]:
    letter: dict[str, object] = json.loads(redis.hget("{orders}:dead", order_id) or "null")
    return letter


def test_an_order_that_is_due_is_expired_and_leaves_the_schedule(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.create()
    shop.place("42")
    with caplog.at_level(logging.INFO, "orders"):
        assert shop.claim_and_expire() == {"expired": 1}
    assert shop.status("42") == "expired"
    assert shop.score("42") is None
    assert attempts(shop.redis) == {}
    [line] = [record.getMessage() for record in caplog.records]
    assert line.startswith("expire {'expired': 1} lease=")
    assert line.endswith("ids=42")


def test_a_paid_order_is_left_alone_and_leaves_the_schedule(shop: Shop) -> None:
    shop.create()
    shop.place("42", status="paid")
    assert shop.claim_and_expire() == {"closed": 1}
    assert shop.status("42") == "paid"
    assert shop.score("42") is None


def test_an_order_whose_row_is_due_later_moves_to_that_deadline(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=3600, enqueue=False)
    shop.redis.zadd("orders", {"42": 1.0})
    assert shop.claim_and_expire() == {"not_due": 1}
    [verdict] = shop.store.expire(["42"]).values()
    assert shop.score("42") == pytest.approx(verdict.due, abs=1e-5)
    assert attempts(shop.redis) == {}  # to come too early is no failure


@pytest.mark.parametrize("early", [0.2, 0.7], ids=["another clock", "a column of whole seconds"])
def test_an_order_that_is_due_soon_is_waited_for(shop: Shop, early: float) -> None:
    shop.create()
    shop.place("42", due=early)
    shop.expiry._sleep = lambda seconds: shop.change("42", expires_at=datetime(2020, 1, 1, tzinfo=UTC))  # time passes
    assert shop.claim_and_expire() == {"expired": 1}


def test_an_order_without_a_row_is_tried_again_and_then_settled(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.create()
    shop.redis.zadd("orders", {"42": 1.0})
    for number in range(1, shop.settings.max_attempts):
        assert shop.claim_and_expire() == {"missing": 1, "retried": 1}
        assert shop.retries_after("42") == pytest.approx(min(2 ** (number - 1), 300))
        assert attempts(shop.redis) == {"42": number}
        shop.redis.zadd("orders", {"42": 1.0})  # time passes
    with caplog.at_level(logging.INFO, "orders"):
        assert shop.claim_and_expire() == {"missing": 1}
    assert not shop.redis.exists("orders", "{orders}:dead", "{orders}:attempts", "{orders}:failures")
    assert (shop.schedule.stats()["missing"], shop.schedule.stats()["closed"]) == (1, 0)
    assert "order 42 has no row after 10 attempts: it leaves the schedule" in caplog.messages
    assert not [record for record in caplog.records if record.levelno > logging.INFO]


def test_an_id_that_cannot_be_fails_visibly_and_harms_no_other(shop: Shop) -> None:
    shop.create("integer")
    shop.place(1, 2)
    shop.redis.zadd("orders", {b"\xff": 1.0, b"abc": 1.0})
    with pytest.raises(ExpiryFailed, match="2 of 4 orders could not be expired") as caught:
        shop.claim_and_expire()
    str(caught.value).encode()  # can be logged
    assert [shop.status(number) for number in (1, 2)] == ["expired", "expired"]
    assert set(shop.redis.zrange("orders", 0, -1)) == {b"\xff", b"abc"}


def test_an_order_that_fails_is_parted_from_its_batch(shop: Shop) -> None:
    shop.create()
    shop.place("a", "b", "poison", "c")
    store = Failing(shop, "poison")
    expiry = with_store(shop, store)
    claim = shop.schedule.claim(10)
    with pytest.raises(ExpiryFailed, match=r"1 of 4 .*poison: ValueError: no stock for") as caught:
        expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease)
    assert isinstance(caught.value.__cause__, ValueError)
    assert [shop.status(order) for order in ("a", "b", "poison", "c")] == ["expired", "expired", "pending", "expired"]
    assert [len(call) for call in store.calls] == [4, 1, 1, 1, 1]
    assert shop.redis.zrange("orders", 0, -1) == [b"poison"]
    assert attempts(shop.redis) == {"poison": 1}


def test_an_order_that_fails_for_ever_is_buried_with_its_reason(shop: Shop) -> None:
    shop.create()
    shop.place("poison")
    shop.redis.hset("{orders}:attempts", "poison", shop.settings.max_attempts - 1)
    claim = shop.schedule.claim(10)
    with pytest.raises(ExpiryFailed):
        with_store(shop, Failing(shop, "poison")).expire(["poison"], claim.lease)
    assert shop.score("poison") is None
    assert "ValueError: no stock" in str(dead_letter(shop.redis, "poison")["reason"])


def test_an_order_that_kills_its_process_is_buried_untouched(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43")
    shop.redis.hset("{orders}:attempts", "42", shop.settings.max_attempts)  # each was started, none came to an end
    store = Failing(shop)
    claim = shop.schedule.claim(10)
    with pytest.raises(ExpiryFailed, match="none of 10 attempts finished"):
        with_store(shop, store).expire(["42", "43"], claim.lease)
    assert store.calls == [["43"]]
    assert shop.redis.hkeys("{orders}:dead") == [b"42"]
    assert (shop.status("42"), shop.status("43")) == ("pending", "expired")


def test_an_outage_of_the_database_counts_no_attempt(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43")
    for _ in range(3 * shop.settings.max_attempts):
        claim = shop.schedule.claim(10)
        with pytest.raises(StoreUnavailable):
            with_store(shop, Failing(shop, outage=True)).expire(["42", "43"], claim.lease)
        assert attempts(shop.redis) == {}
        assert shop.retries_after("42") == pytest.approx(dispositions.OUTAGE_BACKOFF)
        shop.redis.zadd("orders", {"42": 1.0, "43": 1.0})  # time passes
    assert shop.claim_and_expire() == {"expired": 2}


def test_an_outage_in_the_midst_of_a_batch_keeps_what_was_decided(shop: Shop) -> None:
    shop.create()
    shop.place("a", "poison", "b")
    store = Failing(shop, "poison").store
    decide = store.expire

    def until_the_third(order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        if list(order_ids) == ["b"]:
            raise StoreUnavailable("the database went away")
        return decide(order_ids)

    store.expire = until_the_third  # type: ignore[method-assign]
    claim = shop.schedule.claim(10)
    with pytest.raises(StoreUnavailable):
        with_store(shop, store).expire(["a", "poison", "b"], claim.lease)
    assert [shop.status(order) for order in ("a", "poison", "b")] == ["expired", "pending", "pending"]
    assert sorted(shop.redis.zrange("orders", 0, -1)) == [b"b", b"poison"]
    assert attempts(shop.redis) == {"poison": 1}


def test_a_refused_statement_is_the_orders_fault(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    store = shop.open_store()

    def refuse(order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        raise StoreError("the database rejected the statement: value too long")

    store.expire = refuse  # type: ignore[method-assign]
    claim = shop.schedule.claim(10)
    with pytest.raises(ExpiryFailed, match="value too long"):
        with_store(shop, store).expire(["42"], claim.lease)
    assert attempts(shop.redis) == {"42": 1}


def test_a_message_that_comes_twice_or_late_does_nothing(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43")
    claim = shop.schedule.claim(10)
    store = Failing(shop)
    expiry = with_store(shop, store)
    assert expiry.expire(["42", "43"], claim.lease) == {"expired": 2}
    assert expiry.expire(["42", "43"], claim.lease) == {"stale": 2}
    assert len(store.calls) == 1  # the database is not asked


def test_an_extension_between_claim_and_update_stands(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    claim = shop.schedule.claim(10)
    deadline = datetime.now(UTC) + timedelta(hours=1)
    assert shop.expiry.extend("42", expires_at=deadline)
    assert shop.expiry.expire(["42"], claim.lease) == {"stale": 1}
    assert shop.status("42") == "pending"
    assert shop.score("42") == pytest.approx(deadline.timestamp(), abs=1e-5)


def test_an_extension_during_the_update_stands(shop: Shop) -> None:
    # given a worker that has been told "not due", and is about to move the order to the deadline it saw
    shop.create()
    shop.place("42", due=3600, enqueue=False)
    shop.redis.zadd("orders", {"42": 1.0})
    claim = shop.schedule.claim(10)
    later = datetime.now(UTC) + timedelta(hours=2)
    store = shop.open_store()
    decide = store.expire

    def then_extend(order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        verdicts = decide(order_ids)
        shop.expiry.extend("42", expires_at=later)
        return verdicts

    store.expire = then_extend  # type: ignore[method-assign]
    # when it does so
    assert with_store(shop, store).expire(["42"], claim.lease) == {"not_due": 1}
    # then its fence is gone, and the extension stands
    assert shop.score("42") == pytest.approx(later.timestamp(), abs=1e-5)


def test_extend_moves_row_and_schedule_of_a_pending_order_only(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    shop.place("paid", status="paid", enqueue=False)
    before = shop.schedule.now()
    assert shop.expiry.extend("42", timeout=3600)
    assert shop.score("42") == pytest.approx(before + 3600, abs=5)
    assert shop.store.expire(["42"])["42"].wait == pytest.approx(3600, abs=5)
    assert not shop.expiry.extend("paid", timeout=3600)
    assert not shop.expiry.extend("unknown", timeout=3600)
    assert shop.redis.zcard("orders") == 1


def test_the_outcomes_are_words_that_json_and_flower_show(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    report = shop.claim_and_expire()
    assert repr(report) == "{'expired': 1}"
    assert {outcome.value for outcome in Outcome} == {
        "expired",
        "paid",
        "closed",
        "due",
        "kept",
        "paused",
        "reminded",
        "not_due",
        "missing",
        "invalid",
    }
