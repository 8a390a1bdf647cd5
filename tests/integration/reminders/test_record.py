"""Reminders: recorded when their time comes, once for each deadline, and only for orders that would expire."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from orders.expiry.pause import pause_schedule
from orders.hooks import Answer, Later
from orders.store.outcomes import Outcome, Verdict
from tests.conftest import Shop
from tests.integration.reminders.shop import deadline_of, due_at, look_again, place, reminding

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.mark.every_adapter
def test_a_reminder_is_recorded_once_for_each_deadline(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "42", "43")
    assert shop.score("42") == pytest.approx(due_at(shop, "42") - 60, abs=1e-5)
    # when its time has come
    assert shop.claim_and_expire() == {"reminded": 2}
    [event] = shop.events("42")
    assert (event.kind, event.data) == (
        "reminder",
        {"deadline": deadline_of(shop, "42").isoformat(), "before": 60},
    )
    assert shop.kinds("43") == ["reminder"]
    # then the order waits for its deadline, and whoever looks at it meanwhile records nothing
    assert shop.score("42") == pytest.approx(due_at(shop, "42"), abs=1e-5)
    assert look_again(shop) == {"not_due": 1}
    assert shop.kinds("42") == ["reminder"]
    # and with another deadline it begins anew
    assert shop.expiry.extend("42", timeout=50)
    assert look_again(shop) == {"reminded": 1}
    assert shop.kinds("42") == ["reminder", "extended", "reminder"]
    assert shop.schedule.stats()["reminded"] == 3
    assert shop.schedule.stats()["started"] == 0


def test_of_several_that_were_missed_only_the_last_one_is_recorded_and_none_after_the_deadline(shop: Shop) -> None:
    shop = reminding(shop, grace=30)
    place(shop, "early", left=599)
    place(shop, "late", left=30)
    place(shop, "over", left=-1)
    assert shop.claim_and_expire() == {"reminded": 2, "not_due": 1}
    assert [event.data["before"] for event in shop.events("early")] == [600]
    assert [event.data["before"] for event in shop.events("late")] == [60]
    assert shop.kinds("over") == []
    # the next one, and after the last one the end of the grace
    assert shop.schedule.entry("early").due == pytest.approx(due_at(shop, "early") - 60, abs=1e-5)
    assert shop.schedule.entry("late").due == pytest.approx(due_at(shop, "late") + 30, abs=1e-5)


def pay(shop: Shop) -> None:
    shop.expiry.pay("42")


def pay_and_forget(shop: Shop) -> None:
    shop.update_if_pending("42", status="paid")


def cancel(shop: Shop) -> None:
    shop.expiry.cancel("42")


def extend(shop: Shop) -> None:
    shop.expiry.extend("42", timeout=3600)


def hold(shop: Shop) -> None:
    shop.expiry.hold("42", 3600)


def delete(shop: Shop) -> None:
    shop.delete("42")


def second_worker(shop: Shop) -> None:
    assert shop.claim
    shop.expiry.expire(["42"], shop.claim.lease)


def lease_ends(shop: Shop) -> None:
    look_again(shop)


def pause(shop: Shop) -> None:
    pause_schedule(shop.expiry)


def reconcile(shop: Shop) -> None:
    shop.expiry.reconcile(everything=True)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize(
    ("rival", "kinds"),
    [
        (pay, ["paid"]),
        (pay_and_forget, []),
        (cancel, ["cancelled"]),
        (extend, ["extended"]),
        (hold, ["extended"]),
        (delete, []),
        (second_worker, ["reminder"]),
        (lease_ends, ["reminder"]),
        (reconcile, ["reminder"]),
        (pause, []),
    ],
)
def test_whoever_comes_before_the_reminder_decides(shop: Shop, rival: Callable[[Shop], None], kinds: list[str]) -> None:
    # given a worker that has found that the order is pending, and its reminder's time has come
    shop = reminding(shop)
    place(shop, "42")
    remind, rivals = shop.store.remind, [rival]

    def interrupted(order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        if rivals:
            rivals.pop()(shop)
        return remind(order_ids)

    shop.store.remind = interrupted  # type: ignore[method-assign]
    shop.claim = claim = shop.schedule.claim(10)
    # when somebody else is faster
    shop.expiry.expire(["42"], claim.lease)
    # then that stands
    assert not rivals
    assert shop.kinds("42") == kinds


@pytest.mark.every_adapter
@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_workers_at_the_same_time_record_one_reminder(shop: Shop) -> None:
    shop = reminding(shop)
    order_ids = [str(number) for number in range(50)]
    place(shop, *order_ids)
    with ThreadPoolExecutor(4) as pool:
        look = shop.adapter.tidy(lambda: shop.store.remind(order_ids))
        found = [look.result() for look in [pool.submit(look) for _ in range(8)]]
    reminded = [order_id for each in found for order_id in each if each[order_id].outcome is Outcome.REMINDED]
    assert sorted(reminded) == sorted(order_ids)
    assert [shop.kinds(order_id) for order_id in order_ids] == [["reminder"]] * len(order_ids)


@on_sqlite
def test_an_order_that_the_condition_keeps_gets_no_reminder(shop: Shop) -> None:
    shop = reminding(shop, condition="id <> '42'")
    place(shop, "42", "43")
    assert shop.claim_and_expire() == {"not_due": 1, "reminded": 1}
    assert (shop.kinds("42"), shop.kinds("43")) == ([], ["reminder"])
    assert shop.score("42") == pytest.approx(due_at(shop, "42"), abs=1e-5)


@on_sqlite
def test_a_reminder_that_fell_into_a_pause_comes_after_it_if_the_deadline_is_still_to_come(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "42")
    # a message that is under way when the pause begins is given back
    claim = shop.schedule.claim(10)
    paused = pause_schedule(shop.expiry)
    assert shop.expiry.expire(["42"], claim.lease) == {"paused": 1}
    assert shop.score("42") == pytest.approx(due_at(shop, "42") - 60, abs=1e-5)
    assert shop.schedule.claim(10).claimed == []
    # even if Redis has lost its copy of the pause
    shop.schedule.resume(paused.since.timestamp())
    assert shop.claim_and_expire() == {"paused": 1}
    assert shop.kinds("42") == []
    # when it is over
    shop.expiry.store.pauses.end()
    assert shop.claim_and_expire() == {"reminded": 1}


@on_sqlite
def test_the_guard_is_not_asked_for_a_reminder_and_its_later_arms_anew(shop: Shop) -> None:
    shop = reminding(shop)
    later, asked = datetime.now(UTC) + timedelta(seconds=500), list[str]()

    @shop.hooks.guard
    def guard(order_id: str) -> Later:
        asked.append(order_id)
        return Answer.LATER(later)

    place(shop, "42")
    assert shop.claim_and_expire() == {"reminded": 1}
    assert asked == []
    # when it is due, and the guard gives it another deadline
    shop.change("42", expires_at=datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=1))
    assert look_again(shop) == {"not_due": 1}
    # then the reminder of ten minutes is over before it begins, as after `hold`, and that of one minute is to come
    assert asked == ["42"]
    assert shop.score("42") == pytest.approx(later.timestamp() - 60, abs=1e-5)
    assert shop.kinds("42") == ["reminder", "extended"]


@on_sqlite
def test_a_worker_waits_for_a_reminder_that_is_almost_due_by_the_databases_clock(shop: Shop) -> None:
    shop = reminding(shop)
    now = datetime.now(UTC)
    shop.clock.time = now  # stands still
    shop = shop.timed()
    place(shop, "42", left=60.0)
    late = (deadline_of(shop, "42") - now).total_seconds() - 60
    shop.redis.zadd("orders", {"42": 1.0})
    shop.expiry._sleep = shop.clock.advance
    assert 0 < late < 0.75
    assert shop.claim_and_expire() == {"reminded": 1}
    assert shop.clock.time == pytest.approx(now + timedelta(seconds=late), abs=timedelta(milliseconds=1))
