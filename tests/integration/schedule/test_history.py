"""The ring of minutes on a real Redis: what the scripts count, and that it is bounded."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any, cast

import pytest
from redis import Redis

from orders.config.settings import Settings
from orders.errors import ScheduleError
from orders.schedule.counters import lateness
from orders.schedule.history import RING
from orders.schedule.keys import Keys
from orders.schedule.records import Claim, Move
from orders.schedule.shards import connect_schedule
from orders.schedule.sorted_set import Schedule

RIGHTS = (
    "~orders ~{orders}:attempts ~{orders}:failures ~{orders}:dead ~{orders}:traces "
    "+evalsha +eval +exists +zadd +zrem +hget +hset +hdel"
)
"""Those of a web app before the history, as the documentation gave them."""


def counted(schedule: Schedule, minutes: int = RING) -> Counter[str]:
    """Return the counters of all minutes, so that none is missed that begins meanwhile."""
    total: Counter[str] = Counter()
    for counters in schedule.history(minutes).counted.values():
        total.update(counters)
    return total


def claimed(schedule: Schedule, *order_ids: str) -> Claim:
    schedule.enqueue((order_id, schedule.now() - 1) for order_id in order_ids)
    claim = schedule.claim(100)
    schedule.start(claim.lease, order_ids)
    return claim


def test_settle_counts_what_expired_how_late_and_what_the_guard_found_paid(schedule: Schedule) -> None:
    claim = claimed(schedule, "1", "2", "3", "4")
    counts = {"expired": 3, "closed": 1, **lateness([0.003, 0.004, 100_000])}
    schedule.settle(claim.lease, ["1", "2", "3", "4"], counts, paid=1)
    assert counted(schedule) == {"expired": 3, "paid": 1, "0.005": 2, "inf": 1}


def test_it_counts_what_the_database_did_even_if_the_lease_has_ended(schedule: Schedule) -> None:
    claim = claimed(schedule, "1")
    schedule.enqueue([("1", 2e9)])
    schedule.settle(claim.lease, ["1"], {"expired": 1, **lateness([0.1])})
    assert counted(schedule) == {"expired": 1, "0.1": 1}


def test_a_large_settle_is_counted_once(schedule: Schedule) -> None:
    order_ids = [str(number) for number in range(2500)]
    schedule.settle(1.0, order_ids, {"expired": 2500, **lateness([0.1] * 2500)}, paid=7)
    assert counted(schedule) == {"expired": 2500, "0.1": 2500, "paid": 7}


def test_what_was_settled_by_others_is_not_counted(schedule: Schedule, redis: Redis) -> None:
    claim = claimed(schedule, "1")
    schedule.settle(claim.lease, ["1"], {"expired": 0, "closed": 1})
    assert not redis.exists("{orders}:history")


def test_reschedule_and_bury_count_failures_but_not_what_is_kept_given_back_or_lost(schedule: Schedule) -> None:
    claim, failure = claimed(schedule, "1", "2", "3", "4", "5"), {"error": "no stock", "at": 1.0, "retry_at": 2e9}
    moves = [
        Move("1", 2e9, 1, failure),
        Move("2", 2e9, 0, {**failure, "kept": 1}),
        Move("3", 2e9, 0, keeps_failure=True),
        Move("unknown", 2e9, 1, failure),
    ]
    assert schedule.reschedule(claim.lease, moves) == 3
    assert counted(schedule) == {"failed": 1}
    assert schedule.bury(claim.lease, [("4", "{}"), ("5", "{}"), ("unknown", "{}")]) == 2
    assert counted(schedule) == {"failed": 3}


def test_remove_counts_payments_only(schedule: Schedule) -> None:
    schedule.remove(["1"])
    assert counted(schedule) == {}
    schedule.remove(["2", "3"], are_paid=True)
    assert counted(schedule) == {"paid": 2}


def test_the_ring_has_a_day_and_what_is_older_gives_way(schedule: Schedule, redis: Redis) -> None:
    # given a ring that is full of yesterday
    this = int(schedule.now() // 60)
    yesterday = {
        str(minute % RING): json.dumps({"minute": minute, "expired": 5, "0.005": 5})
        for minute in range(this - 2 * RING, this - RING)
    }
    redis.hset("{orders}:history", mapping=yesterday)  # type: ignore[arg-type]
    assert counted(schedule) == {}
    # when something is counted
    schedule.remove(["1"], are_paid=True)
    schedule.remove(["2"], are_paid=True)
    # then it is alone, and takes no more room
    assert counted(schedule) == {"paid": 2}
    assert redis.hlen("{orders}:history") == RING


def test_only_the_minutes_that_are_asked_for_are_read(schedule: Schedule, redis: Redis) -> None:
    this = int(schedule.now() // 60)
    for ago in range(10):
        value = json.dumps({"minute": this - ago, "paid": 1})
        redis.hset("{orders}:history", str((this - ago) % RING), value)
    assert counted(schedule, 3)["paid"] in {2, 3}  # 2 if a minute has begun meanwhile
    assert counted(schedule)["paid"] == 10


@pytest.fixture
def sharded(settings: Settings, redis: Redis) -> Iterator[Schedule]:
    with closing(connect_schedule(settings.model_copy(update={"shards": 3}))) as schedule:
        yield schedule


def test_each_shard_has_its_own(sharded: Schedule, redis: Redis) -> None:
    order_ids = [str(number) for number in range(30)]
    sharded.remove(order_ids, are_paid=True)
    found = [counted(shard)["paid"] for shard in sharded.shards]
    assert sum(found) == 30
    assert all(found)
    assert redis.exists(*(Keys("orders").shard(number).history for number in range(3))) == 3


def test_a_user_without_the_right_to_it_does_everything_else(settings: Settings, redis: Redis) -> None:
    # given a user with the rights of the release before
    redis.execute_command("ACL", "SETUSER", "web", "on", ">secret", "resetkeys", "-@all", *RIGHTS.split())
    url = settings.redis_url.replace("redis://", "redis://web:secret@")
    with closing(Schedule.connect(settings.model_copy(update={"redis_url": url}))) as schedule:
        schedule.enqueue([("42", 2e9)])
        # when a payment is accepted
        assert schedule.remove(["42"], are_paid=True) == 1
        # then the order leaves the schedule, and is not counted
        assert redis.zscore("orders", "42") is None
        assert not redis.exists("{orders}:history")
        with pytest.raises(ScheduleError, match="permission"):
            schedule.history(60)
        with pytest.raises(ScheduleError, match="permission"):
            schedule.settle(1.0, ["42"])
    redis.execute_command("ACL", "DELUSER", "web")


def test_values_are_json_that_other_programs_can_read(schedule: Schedule, redis: Redis) -> None:
    schedule.settle(1.0, ["1"], {"expired": 1_000_000_000, **lateness([0.1])})
    values: list[Any] = cast("list[bytes]", redis.hvals("{orders}:history"))
    assert [json.loads(value)["expired"] for value in values] == [1_000_000_000]
