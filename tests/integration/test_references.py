"""What may be the reference of a payment: text that is compared exactly, on any database."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

import orders
from orders import process
from orders.errors import InvalidReference
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

WRONG = ["", 5, b"ch_1", True, ["ch_1"], "x" * 256, "a\0b", "\udcff"]


@pytest.mark.parametrize("reference", WRONG, ids=lambda reference: repr(reference)[:10])
def test_a_wrong_reference_is_rejected_before_a_row_is_touched(shop: Shop, reference: Any) -> None:
    shop.create()
    shop.place("42", due=60)
    with pytest.raises(InvalidReference):
        shop.expiry.pay("42", reference=reference)
    with shop.adapter.transaction(shop.engine) as joined, pytest.raises(InvalidReference):
        shop.expiry.pay("42", reference=reference, **joined)
    with process.using(shop.expiry), pytest.raises(InvalidReference):
        asyncio.run(orders.aio.pay("42", reference=reference))
    assert (shop.status("42"), shop.kinds("42")) == ("pending", [])
    assert shop.score("42") is not None


@pytest.mark.parametrize("other", ["ch_1 ", " ch_1", "CH_1", "ch_1\n", "çh_1"])
def test_references_are_compared_exactly(shop: Shop, other: str) -> None:
    shop.create()
    shop.place("42", due=60)
    assert shop.expiry.pay("42", reference="ch_1").is_accepted
    second = shop.expiry.pay("42", reference=other)
    assert (second.verdict, second.refund_key is None) == ("duplicate", False)
    assert shop.expiry.pay("42", reference="ch_1").refund_key is None
    assert shop.expiry.pay("42", reference=other) == second


def test_a_number_that_was_recorded_before_is_the_same_payment_as_its_text(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    assert shop.store.pay("42", reference=5).is_accepted  # type: ignore[arg-type]  # as an earlier release did
    assert shop.expiry.pay("42", reference="5").refund_key is None
    assert shop.expiry.pay("42", reference="6").refund_key is not None


@pytest.mark.sqlalchemy_only
def test_a_wrong_reference_leaves_the_callers_transaction_as_it_is(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    with Session(shop.engine) as session:
        session.execute(sa.text("UPDATE orders SET status = 'seen'"))
        with pytest.raises(InvalidReference):
            shop.expiry.pay("42", reference="", session=session)
        session.commit()
    assert shop.status("42") == "seen"
