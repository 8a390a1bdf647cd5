"""Reminders survive what expiry survives: a Redis that has lost its data, a database that fails, a lost table."""

from __future__ import annotations

from typing import Any

import pytest

from orders.errors import StoreError, StoreUnavailable
from orders.expiry.dispositions import OUTAGE_BACKOFF
from orders.expiry.reconcile import REMINDED_TO, Reconciled
from tests.conftest import Shop
from tests.integration.reminders.shop import due_at, look_again, place, reminding

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_after_redis_has_lost_its_data_reconcile_finds_whose_reminder_has_come(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "far", left=700)  # no reminder has come yet: one of its own will be in time
    place(shop, "first", left=500)
    place(shop, "second", left=40)
    place(shop, "just now", left=59)  # a worker may be at it
    place(shop, "paid", left=40)
    shop.change("paid", status="paid")
    shop.redis.flushall()
    assert shop.expiry.reconcile() == Reconciled(seen=2, added=2, complete=True)
    assert shop.claim_and_expire() == {"reminded": 2}
    assert [event.data["before"] for event in (*shop.events("first"), *shop.events("second"))] == [600, 60]
    # what has been read is not read again, even if Redis has lost it in the meantime, until its next reminder
    assert shop.expiry.reconcile() == Reconciled(seen=0, added=0, complete=True)


@on_sqlite
def test_all_pending_orders_wait_for_their_reminders_after_reconciling_everything(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "far", left=700)
    place(shop, "first", left=500)
    place(shop, "over", left=-1)
    place(shop, "done", left=300)
    assert look_again(shop, "done") == {"reminded": 1}
    # given orders that were scheduled by a process that does not know of reminders
    shop.redis.zadd("orders", {"far": due_at(shop, "far")})
    shop.redis.zrem("orders", "first", "over")
    shop.redis.zadd("orders", {"done": due_at(shop, "done")})
    assert shop.expiry.reconcile(everything=True) == Reconciled(seen=4, added=2, complete=True, advanced=2)
    assert shop.score("far") == pytest.approx(due_at(shop, "far") - 600, abs=1e-5)
    assert shop.score("done") == pytest.approx(due_at(shop, "done") - 60, abs=1e-5)
    assert shop.claim_and_expire() == {"expired": 1, "reminded": 1}
    assert (shop.kinds("first"), shop.kinds("over"), shop.kinds("done")) == (["reminder"], ["expired"], ["reminder"])


@on_sqlite
def test_reconcile_goes_on_where_its_time_ran_out(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.expiry.reconcile.PAGE", 2)
    shop = reminding(shop)
    for number in range(5):
        place(shop, str(number), left=100 + number)
    shop.redis.flushall()
    dry = shop.expiry.reconcile(dry_run=True)
    assert dry == Reconciled(seen=5, added=5, complete=True)
    assert shop.schedule.noted(f"{REMINDED_TO}600") is None
    turns = iter([False, False, True, True])  # nothing is overdue, nor due for the reminder of a minute
    found = shop.expiry.reconcile(is_over=lambda: next(turns))
    assert found == Reconciled(seen=2, added=2, complete=False)
    assert shop.schedule.noted(f"{REMINDED_TO}600") == pytest.approx(due_at(shop, "1"), abs=1e-5)
    # the last one is read again: others may have the same deadline
    assert shop.expiry.reconcile() == Reconciled(seen=4, added=3, complete=True)


def failing(shop: Shop, error: Exception, fails: Any = lambda _: True) -> list[list[str]]:
    """Have the store fail to record the reminders of some orders; return what it was asked for."""
    remind, asked = shop.store.remind, list[list[str]]()

    def fail(order_ids: Any) -> Any:
        asked.append(list(order_ids))
        if any(map(fails, order_ids)):
            raise error
        return remind(order_ids)

    shop.store.remind = fail  # type: ignore[method-assign]
    return asked


@on_sqlite
def test_a_reminder_is_not_lost_if_the_database_fails_and_the_attempt_does_not_count(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "42")
    place(shop, "due", left=-1)
    failing(shop, StoreUnavailable("gone"))
    with pytest.raises(StoreUnavailable, match="gone"):
        shop.claim_and_expire("42", "due")
    assert shop.status("due") == "expired"
    entry = shop.schedule.entry("42")
    assert shop.retries_after("42") == pytest.approx(OUTAGE_BACKOFF)
    assert (entry.attempts, entry.failure and entry.failure["error"]) == (0, "gone")
    del shop.store.remind
    assert look_again(shop) == {"reminded": 1}
    assert shop.schedule.entry("42").failure is None


@on_sqlite
def test_an_order_whose_reminder_always_fails_delays_no_other_and_expires(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop = reminding(shop, max_attempts=1)
    place(shop, "42", "43")
    asked = failing(shop, StoreError("too long"), lambda order_id: order_id == "42")
    for _ in range(3):
        shop.redis.zadd("orders", {"42": 1.0, "43": 1.0})
        assert shop.claim_and_expire("42", "43")["postponed"] == 1
    assert asked[:3] == [["42", "43"], ["42"], ["43"]]
    assert (shop.kinds("42"), shop.kinds("43")) == ([], ["reminder"])
    assert "reminders not recorded, of 42: StoreError: too long" in caplog.text
    shop.change("42", expires_at=shop.clock.now().replace(tzinfo=None))
    assert look_again(shop) == {"expired": 1}


@on_sqlite
def test_without_a_table_of_events_nobody_is_reminded_and_orders_expire(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.create(events=False)
    shop = shop.configured(remind="10m")
    place(shop, "42", left=599)
    place(shop, "due", left=-1)
    assert shop.claim_and_expire("42", "due") == {"not_due": 1, "expired": 1}
    assert "ORDERS_REMIND is set, but the database has no table 'order_events'" in caplog.text
    assert shop.score("42") == pytest.approx(due_at(shop, "42"), abs=1e-5)
