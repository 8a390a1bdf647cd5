"""What the conditional update does to an order, and whom it lets win."""

from __future__ import annotations

import random
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
import sqlalchemy as sa

from orders.errors import StoreError
from orders.store.conflicts import without_conflict
from orders.store.outcomes import Outcome
from orders.store.sql_store import SqlStore
from tests.conftest import ManualClock, Shop
from tests.integration.store.conftest import NOON, OpenStore, outcomes

pytestmark = pytest.mark.every_adapter


def test_each_order_ends_as_its_row_says(shop: Shop) -> None:
    shop.create()
    shop.place("due", "due too", due=-1)
    shop.place("later", due=3600)
    shop.place("paid", status="paid")
    shop.place("cancelled", status="cancelled", due=3600)
    assert outcomes(shop.store, "due", "due too", "later", "paid", "cancelled", "unknown", "a\0b") == {
        "due": Outcome.EXPIRED,
        "due too": Outcome.EXPIRED,
        "later": Outcome.NOT_DUE,
        "paid": Outcome.CLOSED,
        "cancelled": Outcome.CLOSED,
        "unknown": Outcome.MISSING,
        "a\0b": Outcome.INVALID,
    }
    assert [shop.status(order) for order in ("due", "due too", "later", "paid", "cancelled")] == [
        "expired",
        "expired",
        "pending",
        "paid",
        "cancelled",
    ]


def test_a_row_is_expired_once(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    assert outcomes(shop.store, "42") == {"42": Outcome.EXPIRED}
    assert outcomes(shop.store, "42") == {"42": Outcome.CLOSED}


def test_of_an_order_that_is_not_due_the_deadline_is_told(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=3600)
    [verdict] = shop.store.expire(["42"]).values()
    assert verdict.due == pytest.approx((datetime.now(UTC) + timedelta(hours=1)).timestamp(), abs=30)
    assert verdict.wait == pytest.approx(3600, abs=30)


@pytest.mark.parametrize(
    ("milliseconds", "outcome"), [(-1, Outcome.NOT_DUE), (0, Outcome.EXPIRED), (1, Outcome.EXPIRED)]
)
def test_the_deadline_is_compared_to_the_millisecond(shop: Shop, milliseconds: int, outcome: Outcome) -> None:
    shop.create()
    deadline = NOON + timedelta(milliseconds=500)
    clock = ManualClock(deadline + timedelta(milliseconds=milliseconds))
    store = shop.open_store(clock=clock)
    shop.place("42")
    assert store.extend("42", deadline)
    [verdict] = store.expire(["42"]).values()
    assert verdict.outcome is outcome
    assert verdict.wait == pytest.approx(-milliseconds / 1000, abs=1e-4)  # SQLite's days are that exact


def test_of_an_expired_order_it_is_told_for_how_long_it_was_due(shop: Shop) -> None:
    # by the database's own clock, where it has one; the grace is no lateness
    shop.create()
    shop.place("42", due=-100)
    [verdict] = shop.configured(grace=60).store.expire(["42"]).values()
    assert verdict.outcome is Outcome.EXPIRED
    assert verdict.wait == pytest.approx(-40, abs=30)


def test_a_deadline_in_whole_seconds_is_compared_like_any_other(shop: Shop) -> None:
    # SQLite compares text: "12:00:00" must be what "12:00:00.000000" is.
    shop.create()
    shop.place("42")
    clock = ManualClock(NOON - timedelta(milliseconds=1))
    store = shop.open_store(clock=clock)
    assert store.extend("42", NOON)
    assert outcomes(store, "42") == {"42": Outcome.NOT_DUE}
    clock.advance(0.001)
    assert outcomes(store, "42") == {"42": Outcome.EXPIRED}


def test_many_processes_worth_of_threads_expire_each_order_once(shop: Shop, open_store: OpenStore) -> None:
    # given four stores with connections of their own, and orders that all of them want
    shop.create("integer")
    shop.place(*range(1, 401), enqueue=False)
    stores = [open_store() for _ in range(4)]
    won: list[str] = []
    errors: list[StoreError] = []

    def work(store: SqlStore) -> None:
        try:
            for first in range(1, 401, 20):
                batch = [str(number) for number in range(first, first + 20)]
                # MariaDB may end one of two who wait for the same rows: every caller tries again then
                found = without_conflict(partial(outcomes, store, *batch), sleep=time.sleep, jitter=random.random)
                won.extend(name for name, outcome in found.items() if outcome is Outcome.EXPIRED)
        except StoreError as error:
            errors.append(error)

    # when all work at once
    threads = [threading.Thread(target=shop.adapter.tidy(partial(work, store))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then nobody waited in vain ("database is locked"), and each order was expired by one of them
    assert errors == []
    assert sorted(won, key=int) == [str(number) for number in range(1, 401)]


def test_a_payment_that_waits_in_a_transaction_wins_or_loses_as_a_whole(shop: Shop) -> None:
    # given a payment that has changed the row, and has not been committed
    shop.create()
    shop.place("42")
    verdict: list[Outcome] = []
    expiring = threading.Thread(target=shop.adapter.tidy(lambda: verdict.append(outcomes(shop.store, "42")["42"])))
    shop.store.check()
    with shop.engine.begin() as connection:
        paid = connection.execute(sa.text("UPDATE orders SET status = 'paid' WHERE status = 'pending'"))
        # when an expiry begins meanwhile
        expiring.start()
        expiring.join(0.2)
        assert expiring.is_alive()  # it waits for the row
    expiring.join()
    # then it finds the order closed
    assert paid.rowcount == 1
    assert verdict == [Outcome.CLOSED]
    assert shop.status("42") == "paid"
