"""Payments after the deadline, and the policy for orders that are expired by then."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import sqlalchemy as sa

from orders.errors import SchemaError, StoreConflict
from orders.store.outcomes import Payment, PaymentVerdict, State
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

ACCEPTED = PaymentVerdict.ACCEPTED
DUPLICATE = PaymentVerdict.DUPLICATE
TOO_LATE = PaymentVerdict.TOO_LATE


def test_a_payment_after_the_deadline_is_accepted_while_the_order_is_pending(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-60)
    assert shop.expiry.pay("42").verdict is ACCEPTED


def test_a_strict_shop_refuses_it_and_expires_the_order_with_its_hooks(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-60)
    shop.place("43", due=60)
    strict = shop.configured(strict=True)
    released: list[object] = []
    shop.hooks.on_expire(lambda session, order_ids: released.extend(order_ids))
    payment = strict.expiry.pay("42", reference="ch_1")
    assert payment.verdict is TOO_LATE
    assert payment.refund_key
    assert (shop.status("42"), shop.score("42")) == ("expired", None)
    assert shop.kinds("42") == ["expired", "late_payment"]
    assert released == ["42"]
    assert strict.expiry.pay("43").verdict is ACCEPTED


def test_grace_belongs_to_the_order(shop: Shop) -> None:
    shop.create()
    strict = shop.configured(strict=True, grace=60)
    strict.place("42", due=-30)
    strict.place("43", due=-90)
    assert strict.score("42") == pytest.approx(shop.schedule.now() - 30, abs=5)  # the deadline, as a bare ZADD has it
    assert strict.claim_and_expire() == {"expired": 1}
    assert shop.status("43") == "expired"
    assert strict.expiry.check("42") is State.PENDING
    assert strict.expiry.pay("42").verdict is ACCEPTED


# The policy for late payments


def stock(shop: Shop, number: int) -> None:
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE stock (left_over INT NOT NULL)")
        connection.execute(sa.text("INSERT INTO stock VALUES (:number)"), {"number": number})


def left_over(shop: Shop) -> int:
    with shop.engine.begin() as connection:
        return int(connection.scalar(sa.text("SELECT left_over FROM stock")) or 0)


def take_again(shop: Shop) -> Callable[[Any, Any], bool]:
    def take(given: Any, order_id: Any) -> bool:
        shop.adapter.sql(given, sa.text("UPDATE stock SET left_over = left_over - 1"))
        return int(shop.adapter.sql(given, sa.text("SELECT left_over FROM stock"))) >= 0

    return take


@pytest.mark.parametrize("joins", [False, True], ids=["own", "joined"])
def test_a_late_payment_revives_the_order_if_there_is_stock(shop: Shop, joins: bool) -> None:
    shop.create()
    stock(shop, 1)
    shop.hooks.on_late_payment(take_again(shop))
    shop.place("42", "43")
    shop.claim_and_expire()

    def pay(order_id: str) -> Payment:
        if not joins:
            return shop.expiry.pay(order_id, reference=f"ch_{order_id}")
        with shop.adapter.transaction(shop.engine) as joined:
            return shop.expiry.pay(order_id, reference=f"ch_{order_id}", **joined)

    first, second = pay("42"), pay("43")
    assert first == Payment("42", ACCEPTED, was_revived=True)
    assert (shop.status("42"), shop.kinds("42")) == ("paid", ["expired", "revived"])
    assert second.verdict is TOO_LATE
    assert second.refund_key
    assert (shop.status("43"), shop.kinds("43")) == ("expired", ["expired", "late_payment"])
    assert left_over(shop) == 0  # what the second took was undone
    assert pay("42") == Payment("42", DUPLICATE)


def test_a_payment_that_was_refused_stays_refused(shop: Shop) -> None:
    # given a payment that was refused, and is being refunded
    shop.create()
    stock(shop, 0)
    shop.hooks.on_late_payment(take_again(shop))
    shop.place("42")
    shop.claim_and_expire()
    late = shop.expiry.pay("42", reference="ch_1")
    # when there is stock again, and its callback is repeated
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE stock SET left_over = 5")
    assert shop.expiry.pay("42", reference="ch_1") == late
    # then only another payment can revive the order
    assert shop.expiry.pay("42", reference="ch_2").verdict is ACCEPTED
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE, late.refund_key)
    assert left_over(shop) == 4


@pytest.mark.parametrize("joins", [False, True], ids=["own", "joined"])
def test_a_refused_payment_that_comes_again_leaves_a_reopened_order_scheduled(shop: Shop, joins: bool) -> None:
    # given an order whose payment was refused, and that the shop has opened again
    shop.create()
    shop.place("42")
    shop.claim_and_expire()
    refused = shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="pending")
    shop.expiry.enqueue("42", timeout=3600)
    # when the callback comes again
    with shop.adapter.transaction(shop.engine) if joins else nullcontext(dict[str, Any]()) as joined:
        again = shop.expiry.pay("42", reference="ch_1", **joined)
    # then the order waits for another payment until its new deadline
    assert (again.verdict, again.refund_key, again.is_pending) == (TOO_LATE, refused.refund_key, True)
    assert shop.status("42") == "pending"
    assert shop.score("42") is not None
    assert shop.expiry.pay("42", reference="ch_2").is_accepted
    assert shop.score("42") is None


def test_reviving_needs_the_outbox(shop: Shop) -> None:
    shop.create(events=False)
    shop.hooks.on_late_payment(take_again(shop))
    with pytest.raises(SchemaError, match="'order_events', but the database has no such table"):
        shop.expiry.pay("42")


def test_a_conflict_is_tried_again_in_a_transaction_of_its_own_only(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    pay, failed = shop.store.pay, list[int]()

    def conflict(*arguments: Any, **named: Any) -> Payment:
        if len(failed) < 2:
            failed.append(1)
            raise StoreConflict("deadlock")
        return pay(*arguments, **named)

    shop.store.pay = conflict  # type: ignore[method-assign]
    assert shop.expiry.pay("42").verdict is ACCEPTED
    assert len(shop.slept) == 2
    failed.clear()
    with shop.adapter.transaction(shop.engine) as joined, pytest.raises(StoreConflict):
        shop.expiry.pay("42", **joined)
