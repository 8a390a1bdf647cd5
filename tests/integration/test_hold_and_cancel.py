"""More time for a payment in progress, and an end before the deadline."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from orders.errors import InvalidDeadline, SchemaError
from orders.store.outcomes import PaymentVerdict, State
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def deadline_of(shop: Shop, order_id: str) -> datetime:
    row = shop.store.row(order_id)
    assert row
    assert row.deadline
    return row.deadline


# hold


def test_a_hold_moves_the_deadline_of_the_row_and_the_score(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=5)
    assert shop.expiry.hold("42", 300) is True
    held_until = shop.clock.now() + timedelta(seconds=300)
    assert deadline_of(shop, "42") == held_until
    assert shop.score("42") == pytest.approx(held_until.timestamp(), abs=1e-5)
    [event] = shop.events("42")
    assert (event.kind, event.data) == ("extended", {"deadline": held_until.isoformat(), "by": "hold"})


def test_a_hold_never_makes_a_deadline_earlier(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=600)
    before, score = deadline_of(shop, "42"), shop.score("42")
    assert shop.expiry.hold("42", timedelta(seconds=300)) is True
    assert (deadline_of(shop, "42"), shop.score("42"), shop.kinds("42")) == (before, score, [])


def test_a_hold_saves_an_order_that_is_overdue_and_leased_and_ends_by_itself(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    claim = shop.schedule.claim(10)
    assert shop.expiry.hold("42", 60) is True
    # then the worker that has it finds that its lease is gone
    assert shop.expiry.expire(["42"], claim.lease) == {"stale": 1}
    assert shop.status("42") == "pending"
    # and without a payment it expires
    shop.change("42", expires_at=datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=1))
    shop.expiry.enqueue("42", timeout=0)
    assert shop.claim_and_expire() == {"expired": 1}


@pytest.mark.parametrize("status", ["paid", "expired", "cancelled"])
@on_sqlite
def test_a_hold_of_an_order_that_is_not_pending_changes_nothing(shop: Shop, status: str) -> None:
    shop.create()
    shop.place("42", status=status, enqueue=False)
    assert shop.expiry.hold("42", 60) is False
    assert shop.expiry.hold("nobody", 60) is False
    assert shop.schedule_as_dict() == {}


@pytest.mark.parametrize("seconds", [-1, float("nan"), "60", None])
@on_sqlite
def test_a_hold_needs_a_number_of_seconds(shop: Shop, seconds: Any) -> None:
    shop.create()
    shop.place("42", due=5)
    with pytest.raises((InvalidDeadline, TypeError)):
        shop.expiry.hold("42", seconds)
    assert shop.kinds("42") == []


def test_hold_and_cancel_join_a_transaction_of_the_shops(shop: Shop) -> None:
    shop.create()
    shop.place("41", "42", due=60)
    scores = shop.schedule_as_dict()

    def both(*, fails: bool) -> None:
        with shop.adapter.transaction(shop.engine) as joined:
            assert shop.expiry.hold("41", 300, **joined) is True
            assert shop.expiry.cancel("42", **joined) is True
            if fails:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        both(fails=True)
    assert (shop.status("42"), shop.kinds("41"), shop.kinds("42")) == ("pending", [], [])
    assert shop.schedule_as_dict() == scores
    both(fails=False)
    assert (shop.status("42"), shop.kinds("41"), shop.kinds("42")) == ("cancelled", ["extended"], ["cancelled"])
    assert shop.score("42") is None
    assert (shop.score("41") or 0) > scores["41"]


# cancel


def test_a_cancelled_order_gives_its_stock_back_and_says_why(shop: Shop) -> None:
    shop.create()
    told: list[tuple[list[Any], str]] = []

    @shop.hooks.on_expire
    def release(given: Any, order_ids: Sequence[Any], *, reason: str) -> None:
        told.append((list(order_ids), reason))

    shop.place("41", "42", "43", due=60)
    assert shop.expiry.cancel("42", reason="the customer changed their mind") is True
    assert shop.expiry.cancel("43") is True
    assert (shop.status("42"), shop.score("42")) == ("cancelled", None)
    [event] = shop.events("42")
    assert (event.kind, event.data) == ("cancelled", {"reason": "the customer changed their mind"})
    assert told == [(["42"], "the customer changed their mind"), (["43"], "cancelled")]
    # and an expiry tells that it is one
    shop.place("44")
    shop.claim_and_expire()
    assert told[-1] == (["44"], "expired")


def test_only_a_pending_order_is_cancelled_and_only_once(shop: Shop) -> None:
    shop.create()
    calls: list[Any] = []
    shop.hooks.on_expire(lambda given, order_ids: calls.append(order_ids))
    shop.place("41", status="paid", enqueue=False)
    shop.place("42", due=60)
    assert shop.expiry.cancel("41") is False
    assert [shop.expiry.cancel("42"), shop.expiry.cancel("42"), shop.expiry.cancel("nobody")] == [True, False, False]
    assert (calls, shop.kinds("42"), shop.status("41")) == ([["42"]], ["cancelled"], "paid")
    payment = shop.expiry.pay("42", reference="ch_1")
    assert payment.verdict is PaymentVerdict.CLOSED
    assert payment.refund_key


def test_a_hook_that_fails_undoes_the_cancellation(shop: Shop) -> None:
    shop.create()

    @shop.hooks.on_expire
    def release(given: Any, order_ids: Sequence[Any]) -> None:
        raise ZeroDivisionError

    shop.place("42", due=60)
    with pytest.raises(ZeroDivisionError):
        shop.expiry.cancel("42")
    assert (shop.status("42"), shop.kinds("42"), shop.score("42") is None) == ("pending", [], False)


@on_sqlite
def test_a_cancellation_asks_neither_the_guard_nor_the_condition(shop: Shop) -> None:
    shop.create()
    shop = shop.configured(condition="1 = 0")
    shop.place("42")
    assert shop.expiry.check("42") is State.KEPT
    assert shop.expiry.cancel("42") is True


@pytest.mark.parametrize("reason", ["", "x" * 256, None, 7])
@on_sqlite
def test_a_reason_is_a_short_text(shop: Shop, reason: Any) -> None:
    shop.create()
    shop.place("42", due=60)
    with pytest.raises(ValueError, match="it must be a text of 1 to 255 characters"):
        shop.expiry.cancel("42", reason=reason)
    assert shop.status("42") == "pending"


@on_sqlite
def test_a_shop_without_a_word_for_cancelled_is_told_so(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    with pytest.raises(SchemaError, match=r"ORDERS_CANCELLED is '': .* accepts at least one word"):
        shop.configured(cancelled="").expiry.cancel("42")
    with shop.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE orders ADD COLUMN state INT NOT NULL DEFAULT 0"))
    numbers = shop.configured(status_column="state", pending="0", paid="1", expired="2")
    with pytest.raises(SchemaError, match=r"ORDERS_CANCELLED is 'cancelled': .* accepts a whole number"):
        numbers.expiry.cancel("42")
    assert numbers.configured(cancelled="3,4").expiry.cancel("42") is True
