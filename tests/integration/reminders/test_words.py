"""What people read about an order that waits for a reminder, or has had one."""

from __future__ import annotations

from datetime import UTC

import pytest

from orders.expiry.explain import explain_order
from orders.expiry.story import timeline
from orders.operate import Operations, Where
from tests.conftest import Shop
from tests.integration.reminders.shop import deadline_of, place, reminding

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def steps(shop: Shop, order_id: str) -> list[str]:
    return [step.what for step in timeline(shop.expiry.explain(order_id), UTC)]


def test_explain_says_which_reminder_comes_next_and_the_list_when(shop: Shop) -> None:
    shop = reminding(shop, grace=5)
    place(shop, "42", left=700)
    found, deadline = shop.expiry.explain("42"), deadline_of(shop, "42")
    assert found.next == "a worker records the reminder, 10 min before the deadline"
    assert found.next_at == found.scheduled
    assert found.next_at is not None
    assert (deadline - found.next_at).total_seconds() == pytest.approx(600, abs=1e-4)
    assert (found.differs_by, found.leased_until) == (None, None)
    [item] = Operations(shop.expiry).page(Where.PENDING).items
    assert item.at == found.next_at
    # a score that is neither the deadline nor a reminder is named as before
    shop.redis.zincrby("orders", 100, "42")
    found = shop.expiry.explain("42")
    assert found.differs_by == pytest.approx(-505, abs=1e-3)
    assert found.next == "a worker finds that it is not due yet, and schedules it at the deadline in its row"


def test_explain_says_that_an_overdue_order_expires_whatever_it_waited_for(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "42", left=-1)  # nobody has looked at it since its reminder
    found = shop.expiry.explain("42")
    assert (found.next, found.differs_by) == ("a sweep claims it, and a worker expires it", None)


def test_a_score_that_is_the_time_of_creation_is_as_much_earlier(shop: Shop) -> None:
    shop = reminding(shop, score="created", timeout=1800)
    place(shop, "42", left=700)
    deadline = deadline_of(shop, "42").timestamp()
    assert shop.score("42") == pytest.approx(deadline - 600 - 1800, abs=1e-4)
    assert shop.expiry.explain("42").next == "a worker records the reminder, 10 min before the deadline"


def test_a_leased_order_and_one_without_a_score(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "42")
    shop.schedule.claim(10)
    assert shop.expiry.explain("42").leased_until
    shop.redis.zrem("orders", "42")
    found, deadline = shop.expiry.explain("42"), deadline_of(shop, "42")
    assert found.next == "reconcile schedules it, because it is pending but not scheduled"
    assert found.next_at is not None
    assert (found.next_at - deadline).total_seconds() == pytest.approx(shop.settings.sweep_interval, abs=1e-4)


def test_the_timeline_tells_of_the_reminder(shop: Shop) -> None:
    shop = reminding(shop)
    place(shop, "42")
    assert shop.claim_and_expire() == {"reminded": 1}
    deadline = f"{deadline_of(shop, '42'):%Y-%m-%d %H:%M:%S} UTC"
    assert steps(shop, "42") == [
        f"Placed, to be paid by {deadline}",
        f"Reminder, 1 min before the deadline {deadline}",
        "Deadline",
        "Next: a sweep claims it, and a worker expires it",
    ]
    assert explain_order("42", shop.schedule, shop.store, shop.settings, shop.hooks).differs_by is None
