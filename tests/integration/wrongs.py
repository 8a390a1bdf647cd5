"""Wrongs that an audit must find, each planted by hand in order 42: in its row, its events or Redis."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from orders.operate.audit import WrongKind
from orders.store.outbox import Outbox
from tests.conftest import Shop

HOUR, DAY = 3600.0, 86400.0


def write(shop: Shop, order_id: str, kind: str, ago: float = 0.0) -> None:
    """Write an event as it would have been written so many seconds ago."""
    table, at = Outbox(shop.settings, shop.engine.dialect.name, None).table, datetime.now(UTC) - timedelta(seconds=ago)
    with shop.engine.begin() as connection:
        connection.execute(sa.insert(table).values(order_id=order_id, kind=kind, at=at, try_at=at, data={}))


def bury(shop: Shop, order_id: str, ago: float) -> None:
    letter = {"reason": "no stock", "attempts": 10, "buried_at": shop.schedule.now() - ago}
    shop.redis.zrem("orders", order_id)
    shop.redis.hset("{orders}:dead", order_id, json.dumps(letter))


def expired(shop: Shop, order_id: str, *, due: float = -60.0, at: float = 59.0) -> None:
    """Have an order as if it had expired so many seconds ago."""
    shop.place(order_id, due=due, status="expired", enqueue=False)
    write(shop, order_id, "expired", at)


def twice(shop: Shop) -> None:
    expired(shop, "42")
    write(shop, "42", "expired", 5.0)


def twice_and_paid_in_the_end(shop: Shop) -> None:
    shop.place("42", due=-2 * DAY, status="paid", enqueue=False)
    write(shop, "42", "expired", 2 * DAY)
    write(shop, "42", "expired", 5.0)


def early(shop: Shop) -> None:
    expired(shop, "42", due=30.0, at=10.0)


def early_although_its_deadline_has_passed_by_now(shop: Shop) -> None:
    expired(shop, "42", due=-5.0, at=10.0)


def paid_before(shop: Shop) -> None:
    write(shop, "42", "paid", 65.0)
    expired(shop, "42")


def paid_after_it_was_revived_and_expired_by_hand(shop: Shop) -> None:
    expired(shop, "42")
    write(shop, "42", "revived", 30.0)


def not_scheduled(shop: Shop) -> None:
    shop.place("42", due=-HOUR, enqueue=False)


def scheduled_and_paid(shop: Shop) -> None:
    shop.place("42", due=-HOUR, status="paid")


def scheduled_and_cancelled(shop: Shop) -> None:
    shop.place("42", due=-HOUR, status="cancelled")


def scheduled_long_after_it_expired(shop: Shop) -> None:
    expired(shop, "42")
    shop.schedule.enqueue([("42", shop.schedule.now() + HOUR)])


def dead_and_pending(shop: Shop) -> None:
    shop.place("42", due=-3 * DAY)
    bury(shop, "42", 2 * DAY)


def dead_and_paid(shop: Shop) -> None:
    shop.place("42", due=-HOUR, status="paid")
    bury(shop, "42", 60.0)


def dead_without_a_row(shop: Shop) -> None:
    bury(shop, "42", 2 * DAY)


def late(shop: Shop) -> None:
    expired(shop, "42", due=-60.0, at=20.0)


def late_by_days(shop: Shop) -> None:
    expired(shop, "42", due=-3 * DAY, at=20.0)


def late_and_pending(shop: Shop) -> None:
    shop.place("42", due=-60.0)


def without_an_event(shop: Shop) -> None:
    shop.place("42", due=-60.0, status="expired", enqueue=False)


def lease_that_ended_long_ago(shop: Shop) -> None:
    shop.place("42", due=-DAY, enqueue=False)
    shop.redis.zadd("orders", {"42": shop.schedule.now() - HOUR})


def turn_that_came_long_ago(shop: Shop) -> None:
    shop.place("42", due=-HOUR)


def score_beyond_any_lease(shop: Shop) -> None:
    shop.place("42", due=-HOUR, enqueue=False)
    shop.redis.zadd("orders", {"42": shop.schedule.now() + HOUR})


def kept(shop: Shop) -> None:
    shop.place("42", due=-2 * DAY)


PLANTED: list[tuple[Callable[[Shop], None], WrongKind]] = [
    (twice, WrongKind.EXPIRED_TWICE),
    (twice_and_paid_in_the_end, WrongKind.EXPIRED_TWICE),
    (early, WrongKind.EXPIRED_EARLY),
    (early_although_its_deadline_has_passed_by_now, WrongKind.EXPIRED_EARLY),
    (paid_before, WrongKind.EXPIRED_ALTHOUGH_PAID),
    (paid_after_it_was_revived_and_expired_by_hand, WrongKind.EXPIRED_ALTHOUGH_PAID),
    (not_scheduled, WrongKind.OVERDUE_AND_UNSCHEDULED),
    (scheduled_and_paid, WrongKind.SCHEDULED_AND_FINAL),
    (scheduled_and_cancelled, WrongKind.SCHEDULED_AND_FINAL),
    (scheduled_long_after_it_expired, WrongKind.SCHEDULED_AND_FINAL),
    (dead_and_pending, WrongKind.DEAD_AND_FORGOTTEN),
    (dead_and_paid, WrongKind.DEAD_AND_FORGOTTEN),
    (dead_without_a_row, WrongKind.DEAD_AND_FORGOTTEN),
    (late, WrongKind.LATE),
    (late_by_days, WrongKind.LATE),
    (late_and_pending, WrongKind.LATE),
    (without_an_event, WrongKind.EVENT_MISSING),
    (lease_that_ended_long_ago, WrongKind.STUCK_LEASE),
    (turn_that_came_long_ago, WrongKind.STUCK_LEASE),
    (score_beyond_any_lease, WrongKind.STUCK_LEASE),
    (kept, WrongKind.KEPT_FOR_LONG),
]
