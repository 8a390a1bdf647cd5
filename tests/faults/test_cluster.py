"""A Redis Cluster: the schedule spread over shards, and slots that move while orders expire."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orders.embedded import EmbeddedRedis
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.keys import Keys
from tests.faults.cluster import Cluster, running_cluster
from tests.faults.deployment import Deployment

SHARDS = 6


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with running_cluster(tmp_path / "cluster") as cluster:
        yield cluster


@pytest.fixture
def sharded(deployment: Deployment, cluster: Cluster, own_redis: EmbeddedRedis) -> Deployment:
    """A deployment whose schedule is in the cluster. Its broker is a Redis of its own."""
    deployment.expiry.close()
    deployment.change(redis_url=cluster.url, broker_url=own_redis.url, shards=SHARDS)
    deployment.expiry = OrderExpiry.connect(deployment.settings)
    return deployment


def test_a_slot_moves_in_a_cluster(sharded: Deployment, cluster: Cluster) -> None:
    # given orders that are being expired, from a sorted set for each of six shards on three servers
    sharded.beat()
    sharded.worker()
    sharded.ready()
    sharded.place(spread=15.0)
    sharded.until_expired(300)
    sharded.breaks()
    # when a slot moves from server to server, with what is in it here and there for a while
    with cluster.moving(Keys("orders").shard(2).schedule):
        sharded.until(lambda: "TTL exhausted" in sharded.log(), within=20, why="nobody came for what is in the slot")
        sharded.until_expired(sharded.expired() + 100)  # of the other shards
    # then nothing is lost, and nothing is done twice
    sharded.finish()


def test_the_number_of_shards_changes(sharded: Deployment) -> None:
    # given orders of which some are due, and some are not
    sharded.beat()
    first = sharded.worker("six")
    sharded.ready()
    sharded.place(spread=12.0)
    sharded.until_expired(300)
    sharded.breaks()
    # when beat and workers are started anew with fewer shards
    first.terminate()
    sharded.change(shards=2)
    sharded.worker("two")
    # then what was in the others is found
    sharded.finish()
    assert sharded.expiry.schedule.shard(5).is_empty()
