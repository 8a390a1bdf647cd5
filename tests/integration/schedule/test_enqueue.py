"""What the functions of the library write to Redis when they enqueue."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from redis import Redis

import orders
from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from orders.errors import InvalidDeadline, InvalidOrderId
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.sorted_set import Schedule
from orders.store.sql_store import SqlStore


@pytest.fixture
def expiry(settings: Settings, schedule: Schedule) -> OrderExpiry:
    return OrderExpiry(settings, schedule, SqlStore(settings))


def test_scores_may_be_creation_times(settings: Settings, redis: Redis) -> None:
    settings = settings.model_copy(update={"score": "created", "timeout": 1800.0})
    schedule = Schedule.connect(settings)
    now = schedule.now()
    redis.zadd("orders", {"old": now - 1900, "new": now - 60})  # ZADD orders <now> <id>, as in the article
    claim = schedule.claim(10)
    [claimed] = claim.claimed
    assert claimed.order_id == "old"
    assert claimed.due == pytest.approx(now - 100, abs=1e-5)
    assert claim.lease_ends == pytest.approx(claim.now + 120)
    assert redis.zscore("orders", "old") == claim.lease == pytest.approx(claim.now + 120 - 1800)
    assert schedule.settle(claim.lease, ["old"]) == 1
    deadline = OrderExpiry(settings, schedule, SqlStore(settings)).enqueue("next", timeout=1800)
    assert redis.zscore("orders", "next") == pytest.approx(deadline.timestamp() - 1800, abs=1e-5)
    assert schedule.due() == 0
    assert schedule.due(ahead=1801) == 2
    schedule.close()


def test_enqueue_takes_one_round_trip(expiry: OrderExpiry, redis: Redis) -> None:
    expiry.enqueue(1)  # connects, and loads the script
    before = redis.info("stats")["total_reads_processed"]
    expiry.enqueue(2, timeout=60)
    assert redis.info("stats")["total_reads_processed"] - before == 2  # the script, and our own INFO


def test_enqueue_many_takes_all_or_nothing_of_bad_input(expiry: OrderExpiry, redis: Redis) -> None:
    deadline = datetime.now(UTC) + timedelta(minutes=5)
    assert expiry.enqueue_many([(1, deadline), ("b", None)]) == 2
    assert redis.zscore("orders", "1") == pytest.approx(deadline.timestamp(), abs=1e-5)
    for wrong, error in [
        ((None, deadline), InvalidOrderId),
        (("d", datetime(2030, 1, 1)), InvalidDeadline),  # noqa: DTZ001
    ]:
        with pytest.raises(error):
            expiry.enqueue_many([("c", deadline), wrong])  # type: ignore[list-item]
    assert redis.zcard("orders") == 2


def test_the_public_functions_use_the_environment(
    redis_server: EmbeddedRedis, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ORDERS_REDIS_URL", redis_server.url)
    monkeypatch.setattr("orders.process._current", None)
    deadline = orders.enqueue(42, timeout=60)
    assert redis.zscore("orders", "42") == pytest.approx(deadline.timestamp(), abs=1e-5)
    assert orders.enqueue_many([(43, deadline)]) == 1
    assert orders.remove(42)
    assert not orders.remove(42)
    orders.current().schedule.close()
