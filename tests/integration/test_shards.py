"""Several sorted sets as one schedule, on a real Redis; a cluster of three is in `tests.faults`."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis import Redis

from orders import ids
from orders.config.settings import Settings
from orders.errors import ConfigError
from orders.expiry.sweep import run_sweep
from orders.operate import Operations, Where
from orders.schedule.keys import Keys, home
from orders.schedule.records import Move
from orders.schedule.rehome import rehome_ids
from orders.schedule.shards import connect_schedule
from orders.schedule.sorted_set import Schedule
from tests.conftest import Shop
from tests.integration.test_sweep import Letterbox

ORDERS = [str(number) for number in range(1, 41)]


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/orders.db"  # one is enough: what is asked here is Redis


def of(settings: Settings, shards: int) -> Settings:
    return settings.model_copy(update={"shards": shards})


@pytest.fixture
def sharded(settings: Settings, redis: Redis) -> Iterator[Schedule]:
    schedule = connect_schedule(of(settings, 4))
    yield schedule
    schedule.close()


def places(redis: Redis) -> dict[str, list[str]]:
    """Return in which sorted sets each id is."""
    found: dict[str, list[str]] = {}
    for key in ("orders", *(Keys("orders").shard(number).schedule for number in range(8))):
        for member in cast("list[bytes]", redis.zrange(key, 0, -1)):
            found.setdefault(ids.decode(member), []).append(key)
    return found


def buried(redis: Redis) -> set[str]:
    """Return the ids of all dead letters, wherever they are."""
    keys = [Keys("orders"), *(Keys("orders").shard(number) for number in range(8))]
    return {ids.decode(member) for each in keys for member in cast("list[bytes]", redis.hkeys(each.dead))}


def belongs(order_id: str, shards: int) -> str:
    return Keys("orders").shard(home(ids.encode(order_id), shards)).schedule if shards > 1 else "orders"


def test_ids_spread_by_a_hash_that_other_languages_know(sharded: Schedule, redis: Redis) -> None:
    assert sharded.enqueue((order_id, 100.0) for order_id in ORDERS) == len(ORDERS)
    assert places(redis) == {order_id: [belongs(order_id, 4)] for order_id in ORDERS}
    assert {tuple(found) for found in places(redis).values()} == {(f"{{orders:{number}}}",) for number in range(4)}
    # CRC-32 of "42", as `SELECT CRC32('42')` says in MySQL and `crc32('42')` in PHP, is 841265288
    assert home(b"42", 1000) == 288


def test_what_stands_beside_a_shard_shares_its_slot() -> None:
    assert Keys("orders").shard(3).dead == "{orders:3}:dead"
    assert Keys("{shop}:orders").shard(3).dead == "{shop:orders:3}:dead"


def test_each_shard_is_swept_on_its_own(sharded: Schedule, settings: Settings) -> None:
    sharded.enqueue((order_id, time.time() - 5) for order_id in ORDERS)
    sent = []
    for shard in sharded.shards:
        publisher = Letterbox()
        run_sweep(shard, publisher, settings)
        assert {dispatch.shard for dispatch in publisher.sent} == {shard.number}
        sent += [order_id for dispatch in publisher.sent for order_id in dispatch.order_ids]
    assert sorted(sent) == sorted(ORDERS)


def test_orders_expire_in_their_shards(shop: Shop, settings: Settings) -> None:
    shop.create("text")
    schedule = connect_schedule(of(settings, 4))
    expiry = shop.adapter.expiry(of(settings, 4), schedule, shop.store)
    shop.place(*ORDERS, due=-5, enqueue=False)
    expiry.schedule.enqueue((order_id, time.time() - 5) for order_id in ORDERS)
    ends = [
        expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease, shard=shard.number)
        for shard in schedule.shards
        if (claim := shard.claim(100)).claimed
    ]
    assert sum(end["expired"] for end in ends) == len(ORDERS)
    assert expiry.schedule.stats()["scheduled"] == 0
    assert expiry.schedule.stats()["expired"] == len(ORDERS)
    schedule.close()


def test_a_plain_zadd_finds_its_shard(sharded: Schedule, redis: Redis) -> None:
    redis.zadd("orders", {b"42": 1000.5, b"\xff": float("inf"), b"7": -1})
    assert sharded.entry("42").due == 1000.5
    assert rehome_ids(sharded) == 3
    assert places(redis) == {order_id: [belongs(order_id, 4)] for order_id in ("42", "\udcff", "7")}
    assert sharded.entry("42").due == 1000.5
    assert redis.exists("orders") == 0


def test_the_earlier_of_two_instants_holds(sharded: Schedule, redis: Redis) -> None:
    sharded.enqueue([("sooner", 100.0), ("later", 300.0)])
    redis.zadd("orders", {"sooner": 200, "later": 200})
    rehome_ids(sharded)
    assert {order_id: sharded.entry(order_id).due for order_id in ("sooner", "later")} == {"sooner": 100, "later": 200}


def test_dead_letters_move_and_are_retried_where_they_are(settings: Settings, redis: Redis, sharded: Schedule) -> None:
    before = Schedule.connect(settings)
    before.enqueue([("42", 1.0)])
    before.bury(before.claim(1).lease, [("42", '{"reason": "why", "attempts": 3, "buried_at": 5}')])
    # given that it was buried before there were shards: it is known at once, moves with the next sweep
    assert dict(sharded.dead())["42"]["reason"] == "why"
    assert rehome_ids(sharded) == 1
    assert dict(sharded.dead())["42"]["reason"] == "why"
    assert sharded.entry("42").letter
    # and is retried in its shard
    assert sharded.retry(["42", "43"]) == ["42"]
    assert places(redis) == {"42": [belongs("42", 4)]}
    before.close()


def test_a_lost_lease_in_an_abandoned_shard_changes_nothing(settings: Settings, redis: Redis) -> None:
    many, few = connect_schedule(of(settings, 4)), connect_schedule(settings)
    rehome_ids(many)
    many.enqueue([("42", 1.0)])
    shard = next(shard for shard in many.shards if shard.due())
    claim = shard.claim(1)
    assert shard.start(claim.lease, ["42"]) == {"42": 1}
    # when the schedule has one sorted set again while a worker is at it
    assert rehome_ids(few) == 1
    # then the worker's fence is gone, its attempt stays counted, and the order is due again when the lease ends
    assert few.shard(shard.number).settle(claim.lease, ["42"], {"expired": 1}) == 0
    assert few.entry("42").due == pytest.approx(claim.lease_ends)
    assert few.entry("42").attempts == 1
    many.close()
    few.close()


def test_lists_are_merged(sharded: Schedule, settings: Settings, shop: Shop) -> None:
    expiry = shop.adapter.expiry(of(settings, 4), sharded, shop.store)
    now = time.time()
    sharded.enqueue((order_id, now + 100 + int(order_id)) for order_id in ORDERS)
    sharded.enqueue([("due", now - 5)])
    operations = Operations(expiry)
    assert operations.overview().counts == {Where.PENDING: len(ORDERS), Where.DUE: 1, Where.LEASED: 0, Where.DEAD: 0}
    assert [item.order_id for item in operations.page(Where.PENDING, size=15).items] == ORDERS[:15]
    third = operations.page(Where.PENDING, number=3, size=15)
    assert [item.order_id for item in third.items] == ORDERS[30:]
    assert (third.pages, third.reachable) == (3, len(ORDERS))
    assert operations.overview().swept_ago is None
    for shard in sharded.shards:
        shard.claim(100)
    assert operations.overview().swept_ago == pytest.approx(0, abs=5)
    assert operations.overview().counts[Where.LEASED] == 1


@pytest.mark.parametrize("wrong", ["0", "1025", "many", "1.5"])
def test_a_number_of_shards_that_cannot_be(wrong: str) -> None:
    with pytest.raises(ConfigError, match=rf"ORDERS_SHARDS is '{wrong}': it must be a whole number from 1 to 1,024"):
        Settings.of({"SHARDS": wrong})


PICK = st.sampled_from([*ORDERS[:8], "ü", "\udcff"])


class Resharding(RuleBasedStateMachine):
    """Whatever happens while the number of shards changes, an id is known until it is settled or removed."""

    def __init__(self, settings: Settings, redis: Redis) -> None:
        super().__init__()
        redis.flushall()
        self.settings, self.redis = settings, redis
        self.schedule = connect_schedule(settings)
        self.known: set[str] = set()
        self.claims: list[tuple[int | None, float, list[str]]] = []

    def teardown(self) -> None:
        self.schedule.close()

    @rule(shards=st.integers(1, 6))
    def change(self, shards: int) -> None:
        rehome_ids(self.schedule)  # as every sweep does, so that the most there ever were are known
        self.schedule.close()
        self.schedule = connect_schedule(of(self.settings, shards))

    @rule(order_id=PICK, due=st.integers(-30, 40))
    def enqueue(self, order_id: str, due: int) -> None:
        self.schedule.enqueue([(order_id, time.time() + due)])
        self.known.add(order_id)

    @rule(order_id=PICK, due=st.integers(-30, 40))
    def zadd(self, order_id: str, due: int) -> None:
        self.redis.zadd("orders", {ids.encode(order_id): time.time() + due})
        self.known.add(order_id)

    @rule()
    def rehome(self) -> None:
        rehome_ids(self.schedule)
        shards = len(self.schedule.shards)
        assert all(found == [belongs(order_id, shards)] for order_id, found in places(self.redis).items())
        assert self.schedule.uncovered(list(self.known)) == []

    @rule(pick=st.integers(0, 100))
    def claim(self, pick: int) -> None:
        shard = self.schedule.shards[pick % len(self.schedule.shards)]
        claim = shard.claim(3)
        order_ids = list(shard.start(claim.lease, [claimed.order_id for claimed in claim.claimed]))
        self.claims.append((shard.number, claim.lease, order_ids))

    @rule(pick=st.integers(0, 100))
    def retry_later(self, pick: int) -> None:
        if self.claims:
            number, lease, order_ids = self.claims.pop(pick % len(self.claims))
            failure = {"error": "no", "at": 1.0, "retry_at": 2.0}
            moves = [Move(order_id, time.time(), 1, failure) for order_id in order_ids]
            self.schedule.shard(number).reschedule(lease, moves)

    @rule(pick=st.integers(0, 100))
    def bury(self, pick: int) -> None:
        if self.claims:
            number, lease, order_ids = self.claims.pop(pick % len(self.claims))
            self.schedule.shard(number).bury(lease, [(order_id, '{"reason": "why"}') for order_id in order_ids])

    @invariant()
    def nothing_is_lost(self) -> None:
        assert self.known <= set(places(self.redis)) | buried(self.redis)


def test_changing_the_number_of_shards_loses_nothing(settings: Settings, redis: Redis) -> None:
    run_state_machine_as_test(
        cast("type[Resharding]", lambda: Resharding(settings, redis)),  # Hypothesis calls it, class or not
        settings=hypothesis_settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
