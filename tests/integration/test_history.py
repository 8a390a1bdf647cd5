"""What counts as expired, paid and failed, from the calls of a shop to what an operator reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy.orm import Session

from orders.errors import ExpiryFailed
from orders.hooks import Answer
from orders.operate.operations import Operations
from orders.store.outcomes import PaymentVerdict, State
from tests.conftest import Shop


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"  # what is asked here is Redis


def counted(shop: Shop) -> tuple[int, int, int]:
    """Return how many expired, were paid, and failed."""
    buckets = Operations(shop.expiry).history(minutes=1440, step=60)
    assert len(buckets) == 24
    return (
        sum(each.expired for each in buckets),
        sum(each.paid for each in buckets),
        sum(each.failed for each in buckets),
    )


def test_expired_orders_are_counted_with_their_lateness(shop: Shop) -> None:
    shop.create()
    shop.place("1", "2", due=-7)
    shop.claim_and_expire()
    [bucket] = [each for each in Operations(shop.expiry).history(minutes=2) if each.expired]
    assert bucket.expired == 2
    assert bucket.p50 is not None
    assert bucket.p99 is not None
    assert 5 <= bucket.p50 < bucket.p99 <= 30  # between the bounds around 7 s, or 10 s on a busy machine
    assert counted(shop) == (2, 0, 0)


def test_a_payment_is_counted_once(shop: Shop) -> None:
    shop.create()
    shop.place("1", "2", due=60)
    assert shop.expiry.pay("1", reference="ch_1").verdict is PaymentVerdict.ACCEPTED
    assert shop.expiry.pay("1", reference="ch_1").verdict is PaymentVerdict.DUPLICATE
    assert shop.expiry.pay("1", reference="ch_2").verdict is PaymentVerdict.DUPLICATE
    assert shop.expiry.pay("9").verdict is PaymentVerdict.NOT_FOUND
    assert counted(shop) == (0, 1, 0)


def test_what_leaves_the_schedule_otherwise_is_not_counted_as_paid(shop: Shop) -> None:
    shop.create()
    shop.place("1", "2", "3", due=60)
    assert shop.expiry.cancel("1")
    assert shop.expiry.remove("2")
    shop.change("3", status="paid")
    shop.redis.zadd("orders", {"3": 1})
    assert shop.claim_and_expire() == {"closed": 1}
    assert counted(shop) == (0, 0, 0)


def test_a_refused_payment_is_not_counted_and_one_that_revives_is(shop: Shop) -> None:
    shop.create()
    shop.place("1", "2")
    shop.claim_and_expire()
    assert shop.expiry.pay("1", reference="ch_1").verdict is PaymentVerdict.TOO_LATE
    shop.hooks.on_late_payment(lambda session, order_id: True)
    assert shop.expiry.pay("2", reference="ch_2").verdict is PaymentVerdict.ACCEPTED
    assert counted(shop) == (2, 1, 0)


def test_a_payment_counts_after_the_commit_of_the_shops_transaction(shop: Shop) -> None:
    shop.create()
    shop.place("1", due=60)
    with Session(shop.engine) as session:
        shop.expiry.pay("1", session=session)
        session.rollback()
        shop.expiry.pay("1", session=session)
        assert counted(shop) == (0, 0, 0)
        session.commit()
    assert counted(shop) == (0, 1, 0)


def expire(shop: Shop) -> object:
    return shop.claim_and_expire()


def check(shop: Shop) -> object:
    assert shop.expiry.check("1") is State.PAID
    return None


@pytest.mark.parametrize("road", [expire, check])
def test_what_the_guard_found_paid_is_counted(shop: Shop, road: Callable[[Shop], object]) -> None:
    shop.create()
    shop.hooks.guard(lambda order_id: Answer.PAID)
    shop.place("1")
    road(shop)
    assert shop.status("1") == "paid"
    assert counted(shop) == (0, 1, 0)


def test_attempts_that_fail_are_counted_until_the_order_is_buried(shop: Shop) -> None:
    # given an order whose hook fails, and two attempts at most
    shop.create()
    impatient = shop.configured(max_attempts=2)

    @shop.hooks.on_expire
    def restock(session: Session, order_ids: list[str]) -> None:
        raise RuntimeError("no stock")

    impatient.place("1")
    # when both are made
    for failed in (1, 2):
        impatient.redis.zadd("orders", {"1": 1.0})
        with pytest.raises(ExpiryFailed):
            impatient.claim_and_expire()
        # then each counts
        assert counted(impatient) == (0, 0, failed)
    assert impatient.redis.hexists("{orders}:dead", "1")
