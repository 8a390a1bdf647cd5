"""What a worker does with an order of which each worker before it has died: it looks at the row, and calls no hook."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from orders.errors import StoreUnavailable
from orders.expiry.pause import pause_schedule
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter


@pytest.fixture
def shop(shop: Shop) -> Shop:
    """A shop with two orders, each of which was started as often as it may be."""
    shop.create()
    shop.place("42", "43")
    shop.redis.hset("{orders}:attempts", mapping=dict.fromkeys(("42", "43"), shop.settings.max_attempts))
    return shop


def test_who_is_paid_or_has_more_time_is_not_buried(shop: Shop) -> None:
    # given workers that died, or lost their lease, after the commit
    assert shop.store.pay("42").is_accepted
    assert shop.store.extend("43", shop.expiry.deadline("43", timeout=60))
    assert shop.claim_and_expire() == {"closed": 1, "not_due": 1}
    assert shop.redis.zrange("orders", 0, -1) == [b"43"]
    assert not shop.redis.exists("{orders}:dead", "{orders}:attempts")


def test_in_a_pause_they_are_given_back(shop: Shop) -> None:
    claim = shop.schedule.claim(10)
    pause_schedule(shop.expiry)
    assert shop.expiry.expire(["42", "43"], claim.lease) == {"paused": 2}
    assert shop.redis.zrangebyscore("orders", "-inf", claim.now) == [b"42", b"43"]
    assert not shop.redis.exists("{orders}:dead")


def test_a_database_that_is_down_buries_nobody(shop: Shop) -> None:
    store = shop.open_store()
    store.look = Mock(side_effect=StoreUnavailable("the database is down"))  # type: ignore[method-assign]
    expiry = shop.adapter.expiry(shop.settings, shop.schedule, store)
    with pytest.raises(StoreUnavailable):
        expiry.expire(["42", "43"], shop.schedule.claim(10).lease)
    assert not shop.redis.exists("{orders}:dead")
    assert shop.redis.hvals("{orders}:attempts") == [str(shop.settings.max_attempts).encode()] * 2
