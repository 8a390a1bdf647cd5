"""Orders that wait for reminders."""

from __future__ import annotations

from datetime import datetime

from tests.conftest import Shop

REMIND = "10m,1m"


def reminding(shop: Shop, remind: str = REMIND, **settings: object) -> Shop:
    shop.create()
    return shop.configured(remind=remind, **settings)


def place(shop: Shop, *order_ids: str, left: float = 59.0) -> None:
    """Place orders whose deadline is so many seconds ahead, some minutes ago: so they wait for a reminder."""
    shop.clock.advance(-300)
    shop.place(*order_ids, due=left)
    shop.clock.advance(300)


def deadline_of(shop: Shop, order_id: str) -> datetime:
    row = shop.store.row(order_id)
    assert row
    assert row.deadline
    return row.deadline


def due_at(shop: Shop, order_id: str) -> float:
    return deadline_of(shop, order_id).timestamp()


def look_again(shop: Shop, order_id: str = "42") -> dict[str, int]:
    shop.redis.zadd("orders", {order_id: 1.0})
    return shop.claim_and_expire(order_id)
