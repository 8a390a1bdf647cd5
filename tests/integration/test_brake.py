"""The brake: no window has more expiries than ``ORDERS_BRAKE`` allows, plus what had started."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from redis import Redis

from orders.config.settings import Settings
from orders.expiry.pause import BRAKE, correct_pause, current_pause, pause_schedule, resume_schedule
from orders.schedule.counters import EXPIRED
from orders.schedule.records import Lease
from orders.schedule.shards import connect_schedule
from orders.schedule.sorted_set import Schedule
from orders.store.outcomes import State
from tests.conftest import Shop

LIMIT, PARTS = 10, 60


@pytest.fixture
def database_url(tmp_path: object) -> str:
    return f"sqlite:///{tmp_path}/orders.db"  # what is asked here is Redis


@pytest.fixture
def braked(shop: Shop) -> Shop:
    """A shop in which ten orders may expire in an hour."""
    shop.create()
    return shop.configured(brake=f"{LIMIT}/1h")


def numbers(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def expired(shop: Shop, order_ids: list[str]) -> int:
    return sum(shop.status(order_id) == "expired" for order_id in order_ids)


def one_by_one(shop: Shop) -> None:
    while (claim := shop.schedule.claim(1)).claimed:
        shop.expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease)


def pass_time(redis: Redis, parts: int) -> None:
    """Redis's clock cannot be set, so what was counted moves the other way: by sixtieths of the window."""
    counted = cast("dict[bytes, bytes]", redis.hgetall("{orders}:brake"))
    total = counted.pop(b"total", b"0")
    redis.delete("{orders}:brake")
    redis.hset("{orders}:brake", "total", int(total))
    for part, number in counted.items():
        redis.hset("{orders}:brake", str(int(part) - parts), int(number))


def test_not_one_more_expires_than_the_limit(braked: Shop) -> None:
    braked.place(*numbers(30))
    one_by_one(braked)
    assert expired(braked, numbers(30)) == LIMIT
    assert braked.schedule.claim(10).claimed == []
    assert braked.schedule.stats()["braked"] == 1


def test_what_was_started_may_end_and_nothing_else(braked: Shop) -> None:
    # given five claims of six orders each, of which three have started
    braked.place(*numbers(30))
    claims = [braked.schedule.claim(6) for _ in range(5)]
    attempts = [braked.expiry.attempt(Lease(claim.lease)) for claim in claims]
    held = [[claimed.order_id for claimed in claim.claimed] for claim in claims]
    for attempt, order_ids in zip(attempts[:3], held, strict=False):
        attempt.start(order_ids)
    # when the second one of them reaches the limit
    for attempt, order_ids in zip(attempts[:3], held, strict=False):
        attempt.run()
        assert attempt.end(order_ids) == {"expired": 6}
    # then those that start afterwards are given back, and no attempt is counted
    for attempt, order_ids in zip(attempts[3:], held[3:], strict=True):
        attempt.start(order_ids)
        attempt.run()
        assert attempt.end(order_ids) == {"paused": 6}
    assert expired(braked, numbers(30)) == 18
    assert not braked.redis.exists("{orders}:attempts", "{orders}:failures")


def test_only_what_expires_is_counted(braked: Shop) -> None:
    braked.place(*numbers(30))
    for order_id in numbers(25):
        braked.change(order_id, status="paid")
    one_by_one(braked)
    assert expired(braked, numbers(30)) == 5
    assert braked.schedule.paused().until is None


def test_a_sweep_notes_who_and_why_so_that_no_road_is_open(braked: Shop, caplog: pytest.LogCaptureFixture) -> None:
    braked.place(*numbers(11))
    one_by_one(braked)
    before = current_pause(braked.expiry)
    assert before
    correct_pause(braked.expiry)
    found = braked.store.pauses.current()
    assert found
    assert (found.by, found.until) == (BRAKE, None)
    assert found.reason == before.reason == "as many orders have expired as ORDERS_BRAKE allows: 10/1h"
    assert str(found) in caplog.text
    assert braked.expiry.check("9") is State.OVERDUE  # the last by name


def test_it_waits_for_a_resume_and_counts_anew(braked: Shop) -> None:
    braked.place(*numbers(30))
    one_by_one(braked)
    # a sweep does not release it, nor does a pause of somebody that ends
    correct_pause(braked.expiry)
    pause_schedule(braked.expiry, timedelta(hours=1), by="anna")
    braked.store.pauses.end()
    braked.schedule.pause(1.0, 1.0)  # an hour later
    correct_pause(braked.expiry)
    assert braked.store.pauses.current()
    one_by_one(braked)
    assert expired(braked, numbers(30)) == LIMIT
    resume_schedule(braked.expiry)
    one_by_one(braked)
    assert expired(braked, numbers(30)) == 2 * LIMIT
    assert braked.schedule.stats()["braked"] == 2


def test_each_shard_has_its_part(braked: Shop) -> None:
    settings = braked.settings.model_copy(update={"shards": 4})
    schedule = connect_schedule(settings)
    expiry = braked.adapter.expiry(settings, schedule, braked.store, hooks=braked.hooks)
    braked.place(*numbers(60), enqueue=False)
    schedule.enqueue((order_id, 1.0) for order_id in numbers(60))
    for shard in schedule.shards:
        while (claim := shard.claim(1)).claimed:
            expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease, shard=shard.number)
        assert int(shard.noted(EXPIRED) or 0) == 3  # a quarter of ten, rounded up
    # and if one has paused itself, the next sweep pauses all
    correct_pause(expiry)
    assert all(each.paused().until for each in schedule.sets())
    schedule.close()


def test_without_it_nothing_is_counted(shop: Shop) -> None:
    shop.create()
    shop.place(*numbers(30))
    one_by_one(shop)
    assert expired(shop, numbers(30)) == 30
    assert not shop.redis.exists("{orders}:brake")


def test_what_was_counted_with_another_window_is_dropped(braked: Shop) -> None:
    braked.redis.hset("{orders}:brake", "12345", 9)
    braked.place("42")
    one_by_one(braked)
    assert list(cast("dict[bytes, bytes]", braked.redis.hgetall("{orders}:brake")).values()) == [b"1", b"1"]
    assert braked.schedule.paused().until is None


@pytest.fixture
def counting(settings: Settings, redis: Redis) -> Schedule:
    return Schedule(redis, settings.model_copy(update={"brake": f"{LIMIT}/1h"}))


@hypothesis_settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), print_blob=False
)
@given(steps=st.lists(st.tuples(st.integers(1, 6), st.integers(0, 40)), max_size=12))
def test_no_window_has_more_than_the_limit_and_what_had_started(
    steps: list[tuple[int, int]], counting: Schedule, redis: Redis
) -> None:
    redis.flushall()
    past: list[tuple[int, int]] = []  # when, in sixtieths of the window, and how many expired
    now = 0
    for number, parts in steps:
        # when some time passes, and an attempt of several orders starts and ends, unless the brake holds
        pass_time(redis, parts)
        now += parts
        if counting.paused().until:
            break
        counting.settle(0.0, ["none"], {EXPIRED: number})
        past.append((now, number))
        in_window = sum(each for at, each in past if at > now - PARTS)
        # then no window had reached the limit before its last attempt
        assert in_window - number < LIMIT
        # and the brake holds once one has, not long before
        if in_window >= LIMIT:
            assert counting.paused().until
        if counting.paused().until:
            assert sum(each for at, each in past if at >= now - PARTS - 1) >= LIMIT
