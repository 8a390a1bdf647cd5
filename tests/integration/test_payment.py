"""The verdicts of a payment, in a transaction of its own and in the application's, on real databases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from orders.embedded import free_port
from orders.errors import InvalidOrderId
from orders.schedule.sorted_set import Schedule
from orders.store.outcomes import Payment, PaymentVerdict
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

ACCEPTED = PaymentVerdict.ACCEPTED
DUPLICATE = PaymentVerdict.DUPLICATE
TOO_LATE = PaymentVerdict.TOO_LATE


def test_a_pending_order_is_paid_and_leaves_the_schedule(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", ACCEPTED)
    assert shop.status("42") == "paid"
    assert shop.score("42") is None
    [event] = shop.events("42")
    assert (event.kind, event.order_id, event.data) == ("paid", "42", {"reference": "ch_1"})
    assert abs(event.at - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("id_type", ["integer", "uuid"])
def test_ids_of_every_type_are_paid(shop: Shop, id_type: Any) -> None:
    shop.create(id_type)
    order_id: Any = {"integer": 7, "uuid": "12345678-1234-5678-1234-567812345678"}[id_type]
    if id_type == "uuid":
        insert = sa.text("INSERT INTO orders VALUES (:id, 'pending', '2030-01-31 12:00:00')")
        written = order_id if shop.engine.dialect.name in {"postgresql", "mysql"} else order_id.replace("-", "")
        with shop.engine.begin() as connection:
            connection.execute(insert, {"id": written})
    else:
        shop.place(order_id)
    assert shop.expiry.pay(order_id).verdict is ACCEPTED
    assert shop.expiry.pay(order_id).verdict is DUPLICATE


def test_an_order_has_one_refund_key_however_its_id_is_written(shop: Shop) -> None:
    shop.create("integer")
    shop.place(42)
    shop.claim_and_expire()
    late = shop.expiry.pay(42, reference="ch_1")
    assert shop.expiry.pay("042", reference="ch_1") == late
    assert shop.kinds("042") == ["expired", "late_payment"]


def test_ids_that_a_collation_takes_for_one_another_are_two_orders(shop: Shop) -> None:
    shop.create()
    collations = {
        "postgresql": "",
        "sqlite": "",
        "mysql": "ALTER TABLE orders MODIFY id VARCHAR(9) COLLATE utf8mb4_bin",
    }
    if alter := collations[shop.engine.dialect.name]:
        with shop.engine.begin() as connection:
            connection.exec_driver_sql(alter)
    shop.place("a", "A")
    assert shop.expiry.pay("a", reference="ch_1").verdict is ACCEPTED
    assert shop.expiry.pay("A", reference="ch_2").verdict is ACCEPTED
    assert shop.expiry.pay("A", reference="ch_2") == Payment("A", DUPLICATE)
    assert [event.data["reference"] for event in shop.events("a")] == ["ch_1"]


def test_a_callback_may_come_twice(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    again = shop.expiry.pay("42", reference="ch_1")
    assert again == Payment("42", DUPLICATE)
    assert again.is_accepted
    assert shop.expiry.pay("42") == Payment("42", DUPLICATE)  # nothing tells that it is another
    assert shop.kinds("42") == ["paid"]


def test_a_customer_who_pays_twice_gets_the_second_payment_back(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    second = shop.expiry.pay("42", reference="ch_2")
    assert second.verdict is DUPLICATE
    assert second.refund_key
    assert not second.is_accepted
    assert shop.expiry.pay("42", reference="ch_2") == second
    assert shop.kinds("42") == ["paid", "late_payment"]
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)


def test_a_callback_after_the_guard_is_no_second_payment(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.store.settle_paid(["42"])
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)


def test_a_payment_for_an_expired_order_is_too_late_and_to_be_refunded_once(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.claim_and_expire()
    late = shop.expiry.pay("42", reference="ch_1")
    assert late.verdict is TOO_LATE
    assert len(late.refund_key or "") == 36
    assert shop.expiry.pay("42", reference="ch_1") == late
    assert shop.expiry.pay("42", reference="ch_2").refund_key not in {None, late.refund_key}
    assert shop.status("42") == "expired"
    assert shop.kinds("42") == ["expired", "late_payment", "late_payment"]
    assert shop.events("42")[1].data == {
        "verdict": "too_late",
        "refund_key": late.refund_key,
        "reference": "ch_1",
    }


def test_a_payment_for_a_cancelled_order_is_to_be_refunded(shop: Shop) -> None:
    shop.create()
    shop.place("42", status="cancelled")
    payment = shop.expiry.pay("42")
    assert payment.verdict is PaymentVerdict.CLOSED
    assert payment.refund_key
    assert shop.status("42") == "cancelled"
    assert shop.score("42") is None


def test_an_order_that_was_paid_and_has_moved_on_is_no_refund(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43")
    shop.expiry.pay("42", reference="ch_1")
    shop.store.settle_paid(["43"])  # the guard found it
    for order_id in ("42", "43"):
        shop.change(order_id, status="shipped")
        again = shop.expiry.pay(order_id, reference="ch_1")
        assert again == Payment(order_id, DUPLICATE)
        second = shop.expiry.pay(order_id, reference="ch_2")
        assert second.verdict is DUPLICATE
        assert second.refund_key
        assert shop.expiry.pay(order_id, reference="ch_1") == again
        assert shop.kinds(order_id) == ["paid", "late_payment"]


def test_a_state_of_the_shops_own_is_for_the_shop_to_judge(shop: Shop) -> None:
    shop.create()
    shop.place("42", status="shipped")  # by an update of the shop's own: nothing tells whether it was paid
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", PaymentVerdict.CLOSED)
    assert shop.events("42") == []


def test_an_order_that_was_paid_and_cancelled_is_refunded_by_who_cancelled_it(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="cancelled")
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", PaymentVerdict.CLOSED)
    assert shop.expiry.pay("42", reference="ch_2").refund_key


def test_the_shops_own_words_for_cancelled(shop: Shop) -> None:
    shop.create()
    own = shop.configured(cancelled=("void", "9"))
    shop.place("42", status="void")
    shop.place("43", status="cancelled")
    assert own.expiry.pay("42").refund_key
    assert own.expiry.pay("43").refund_key is None


def test_an_order_that_is_opened_again_takes_no_payment_that_was_refused(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.claim_and_expire()
    late = shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="pending", expires_at=datetime(2030, 1, 31, 12))  # noqa: DTZ001
    assert shop.expiry.pay("42", reference="ch_1") == replace(late, is_pending=True)
    assert shop.status("42") == "pending"
    assert shop.expiry.pay("42", reference="ch_2").verdict is ACCEPTED
    assert shop.kinds("42") == ["expired", "late_payment", "paid"]


def test_a_refused_payment_is_not_taken_for_the_one_that_the_guard_found(shop: Shop) -> None:
    # given an order whose first payment was refused; it was opened again, and the guard has found another
    shop.create()
    shop.place("42")
    shop.claim_and_expire()
    refused = shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="pending")
    shop.store.settle_paid(["42"])
    # when the callbacks of both come
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE, refused.refund_key)
    # then the one that counts is not given back
    assert shop.expiry.pay("42", reference="ch_2") == Payment("42", DUPLICATE)


def test_an_order_that_is_paid_again_gives_back_neither_payment(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="pending")
    assert shop.expiry.pay("42", reference="ch_2").verdict is ACCEPTED
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)
    assert shop.expiry.pay("42", reference="ch_3").refund_key


def test_what_looks_alike_has_keys_of_its_own(shop: Shop) -> None:
    shop.create()
    shop.place("a", "a/b", status="expired")
    assert shop.expiry.pay("a/b", reference="c").refund_key != shop.expiry.pay("a", reference="b/c").refund_key


def test_a_payment_for_no_order_changes_nothing(shop: Shop) -> None:
    shop.create("integer")
    shop.expiry.enqueue(7, timeout=60)  # placed in a transaction that is not committed yet
    assert shop.expiry.pay(7) == Payment("7", PaymentVerdict.NOT_FOUND)
    assert shop.score("7") is not None
    with pytest.raises(InvalidOrderId, match="'abc' is not a number"):
        shop.expiry.pay("abc")
    assert shop.events("7") == []


def test_without_an_outbox_the_verdicts_are_the_same(shop: Shop) -> None:
    shop.create(events=False)
    shop.place("42", "43")
    assert shop.expiry.pay("42", reference="ch_1").verdict is ACCEPTED
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)
    shop.claim_and_expire()
    late = shop.expiry.pay("43", reference="ch_2")
    assert late.verdict is TOO_LATE
    assert shop.expiry.pay("43", reference="ch_2") == late
    assert shop.events("42") == []


def test_a_redis_that_is_down_changes_no_verdict(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.create()
    shop.place("42")
    settings = shop.settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}"})
    expiry = shop.adapter.expiry(settings, Schedule.connect(settings), shop.store)
    assert expiry.pay("42").verdict is ACCEPTED
    assert "order 42 could not be removed from the schedule; it stays there until its deadline" in caplog.text
    assert shop.claim_and_expire() == {"closed": 1}
