"""What happens to an order while the gateway is asked, and what a gateway does not tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from orders.hooks import Answer
from orders.store.outcomes import Payment, PaymentVerdict
from tests.conftest import Shop
from tests.gateway import Gateway, answers, callback, payment_guard
from tests.integration.guard.conftest import guarded, on_sqlite

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
