"""A failover by Sentinel while orders expire, with the schedule and the broker on the same Redis."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orders.errors import ScheduleUnavailable
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.aio import AsyncSchedule
from orders.schedule.clients import client
from tests.faults.deployment import Deployment
from tests.faults.sentinels import Watched, watched


@pytest.fixture
def sentinels(deployment: Deployment, tmp_path: Path) -> Iterator[Watched]:
    """Sentinels that watch over the Redis of a deployment, which now finds it by them."""
    with watched(deployment.redis_server, tmp_path / "sentinels") as found:
        deployment.expiry.close()
        deployment.redis.close()
        deployment.change(redis_url=found.url)
        deployment.expiry, deployment.redis = OrderExpiry.connect(deployment.settings), client(deployment.settings)
        yield found


def test_a_master_killed(deployment: Deployment, sentinels: Watched) -> None:
    # given orders that are being expired
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.place(4000, spread=8.0)  # so that enough are left to expire when the replicas are cut off
    deployment.until_expired(300)
    # when the master dies, and with it what it has not told its replicas: what was settled, and 500 orders
    sentinels.cut_off()
    deployment.until_expired(deployment.expired() + 100)
    deployment.place(500, first=5001, due=6.0)
    os.kill(deployment.redis_server.pid, signal.SIGKILL)
    deployment.breaks()
    # then a caller hears of it as of any Redis that is down, until there is another master
    with pytest.raises(ScheduleUnavailable):
        deployment.expiry.schedule.enqueue([("9999", 0.0)])
    deployment.until(lambda: asyncio.run(_is_writable(deployment)), within=20, why="there is no new master")
    # and nothing is lost, and nothing is done twice: reconciling found the orders that no replica knew
    deployment.finish(within=60)
    assert deployment.expiry.schedule.stats()["reconciled"] >= 450


async def _is_writable(deployment: Deployment) -> bool:
    schedule = AsyncSchedule.connect(deployment.settings)
    try:
        return await schedule.remove(["9999"]) == 0
    except ScheduleUnavailable:
        return False
    finally:
        await schedule.close()
