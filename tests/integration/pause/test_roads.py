"""While the schedule is paused nothing expires, on whichever road it comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from orders.errors import StoreUnavailable
from orders.expiry.pause import pause_schedule, resume_schedule
from orders.hooks import Answer
from orders.store.outcomes import Outcome, PaymentVerdict, State
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_nothing_is_claimed(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    pause_schedule(shop.expiry)
    claim = shop.schedule.claim(10)
    assert claim.claimed == []
    assert shop.schedule.swept_at() == claim.now  # sweeps go on
    resume_schedule(shop.expiry)
    assert shop.claim_and_expire() == {"expired": 1}


def test_what_was_claimed_is_given_back_as_it_was(shop: Shop) -> None:
    # given orders that were claimed, one of them after a failure and one after an answer of the guard
    shop.create()
    shop.place("new", "tried", "asked")
    scores = shop.schedule_as_dict()
    shop.redis.hset("{orders}:attempts", "tried", 3)
    failures = {"tried": '{"error": "boom", "at": 1.0}', "asked": '{"error": "no", "at": 1.0, "unknown": 4}'}
    shop.redis.hset("{orders}:failures", mapping=failures)  # type: ignore[arg-type]  # redis-py asks for more than str
    claim = shop.schedule.claim(10)
    # when the pause comes before their messages
    pause_schedule(shop.expiry)
    assert shop.expiry.expire(["new", "tried", "asked"], claim.lease) == {"paused": 3}
    # then they are as before
    assert shop.schedule_as_dict() == pytest.approx(scores, abs=1e-3)
    assert shop.redis.hgetall("{orders}:attempts") == {b"tried": b"3"}
    kept = cast("dict[bytes, bytes]", shop.redis.hgetall("{orders}:failures"))
    assert {name.decode(): text.decode() for name, text in kept.items()} == failures
    assert shop.redis.hget("{orders}:stats", "retried") is None
    # and expire after it
    resume_schedule(shop.expiry)
    assert shop.claim_and_expire_all() == 3
    assert [shop.status(order_id) for order_id in ("new", "tried", "asked")] == ["expired"] * 3


def test_what_was_started_and_waits_looks_again_before_its_update(shop: Shop) -> None:
    # given a guard that is asked when the pause comes
    shop.create()
    shop.place("42")

    @shop.hooks.guard
    def unpaid(_: str) -> Answer:
        pause_schedule(shop.expiry)
        return Answer.UNPAID

    assert shop.claim_and_expire() == {"paused": 1}
    assert shop.status("42") == "pending"
    assert not shop.redis.exists("{orders}:attempts", "{orders}:failures")


def test_the_guard_is_not_asked(shop: Shop) -> None:
    shop.create()
    shop.place("42")

    @shop.hooks.guard
    def never(_: str) -> Answer:
        raise AssertionError

    claim = shop.schedule.claim(10)
    pause_schedule(shop.expiry)
    assert shop.expiry.check("42") is State.OVERDUE
    assert shop.expiry.expire(["42"], claim.lease) == {"paused": 1}
    assert shop.store.look(["42"])["42"].outcome is Outcome.PAUSED


def test_check_says_overdue_and_expires_after_the_pause(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    pause_schedule(shop.expiry)
    assert shop.expiry.check("42") is State.OVERDUE
    assert shop.status("42") == "pending"
    resume_schedule(shop.expiry)
    assert shop.expiry.check("42") is State.EXPIRED


def test_a_strict_payment_is_accepted(shop: Shop) -> None:
    strict = shop.configured(strict=True)
    strict.create()
    strict.place("41", "42")
    pause_schedule(strict.expiry)
    assert strict.expiry.pay("41", reference="ch_1").is_accepted
    with strict.adapter.transaction(strict.engine) as joined:
        assert strict.expiry.pay("42", **joined).is_accepted
    assert [strict.kinds(order_id) for order_id in ("41", "42")] == [["paid"], ["paid"]]
    # and refused after it
    strict.place("43")
    resume_schedule(strict.expiry)
    assert strict.expiry.pay("43").verdict is PaymentVerdict.TOO_LATE


def test_final_orders_leave_the_schedule_meanwhile(shop: Shop) -> None:
    shop.create()
    shop.place("paid", "gone", "42")
    claim = shop.schedule.claim(10)
    shop.change("paid", status="paid")
    shop.delete("gone")
    pause_schedule(shop.expiry)
    assert shop.expiry.expire(["paid", "gone", "42"], claim.lease) == {"closed": 1, "paused": 2}
    assert shop.schedule_as_dict().keys() == {"gone", "42"}
    assert not shop.redis.exists("{orders}:attempts")


@on_sqlite
def test_a_database_that_is_down_counts_no_attempt(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    shop.place("42")
    claim = shop.schedule.claim(10)
    pause_schedule(shop.expiry)

    def fail(_: Sequence[str]) -> Any:
        raise StoreUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(shop.store, "look", fail)
        assert shop.expiry.expire(["42"], claim.lease) == {"paused": 1}
    assert not shop.redis.exists("{orders}:attempts", "{orders}:failures")
    resume_schedule(shop.expiry)
    assert shop.claim_and_expire() == {"expired": 1}


@on_sqlite
def test_the_parts_of_a_large_batch_may_differ(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt starts 1,000 orders at a time, so the pause may come between."""
    monkeypatch.setattr("orders.schedule.scripts.CHUNK", 1)
    shop.create()
    shop.place("41", "42")
    claim = shop.schedule.claim(10)
    run, calls = shop.schedule._run, []

    def interrupt(name: str, args: Sequence[Any]) -> Any:
        calls.append(name)
        if calls.count("start") == 2 and name == "start":
            pause_schedule(shop.expiry)
        return run(name, args)

    monkeypatch.setattr(shop.schedule, "_run", interrupt)
    assert shop.expiry.expire(["41", "42"], claim.lease) == {"paused": 2}
    assert not shop.redis.exists("{orders}:attempts")
