"""A Redis master that becomes a replica while it stays up, as in a managed failover: each write is an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from orders.embedded import EmbeddedRedis, free_port
from orders.errors import ScheduleUnavailable
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.aio import AsyncSchedule
from orders.schedule.clients import client
from tests.faults.deployment import Deployment
from tests.faults.name import Name, leading_to

SHOP_APP = """
import os
from celery import Celery
import tasks

app = Celery("shop", broker=os.environ["ORDERS_REDIS_URL"])
tasks.install(app)
"""
"""A shop's own app, with Celery's defaults."""


@pytest.fixture
def name(deployment: Deployment) -> Iterator[Name]:
    """A name of the Redis of a deployment, which everything now uses."""
    with leading_to(deployment.redis_server.port) as name:
        deployment.expiry.close()
        deployment.redis.close()
        deployment.change(redis_url=f"redis://127.0.0.1:{name.port}/0")
        deployment.expiry, deployment.redis = OrderExpiry.connect(deployment.settings), client(deployment.settings)
        yield name


@pytest.mark.parametrize("app", ["tasks", "shop_app"])
def test_a_master_demoted_for_a_while(deployment: Deployment, app: str) -> None:
    # given processes that nobody would start again
    (deployment.folder / "shop_app.py").write_text(SHOP_APP)
    processes = [deployment.start("beat -l INFO", app=app), deployment.worker(app=app)]
    deployment.ready()
    deployment.place()
    deployment.until_expired(300)
    # when the master is a replica for a while, of a server that does not answer
    with Redis(port=deployment.redis_server.port) as server:
        server.replicaof("127.0.0.1", free_port())
        with pytest.raises(ScheduleUnavailable):
            deployment.expiry.schedule.remove(["9999"])
        time.sleep(8)
        server.replicaof("NO", "ONE")
    deployment.breaks()
    # then no process ends of it, and all orders are closed
    deployment.finish()
    assert [process.poll() for process in processes] == [None, None]


def test_a_name_that_moves_to_another_master(deployment: Deployment, name: Name, tmp_path: Path) -> None:
    # given a replica, and connections to the master in each process, this one too
    old = deployment.redis_server.port
    options = ("--replicaof", "127.0.0.1", str(old), "--repl-diskless-sync-delay", "0")
    with EmbeddedRedis(tmp_path / "replica", options=options) as replica:
        processes = [deployment.beat(), deployment.worker()]
        deployment.ready()
        deployment.place()
        deployment.until_expired(300)
        asyncio.run(_moved(deployment, name, old, replica.port))
        deployment.breaks()
        # then every process finds the new master, and none ends
        deployment.finish()
        assert [process.poll() for process in processes] == [None, None]


async def _moved(deployment: Deployment, name: Name, old: int, new: int) -> None:
    """Make the replica the master and the master its replica; the old connections stay."""
    schedule = AsyncSchedule.connect(deployment.settings)
    assert await schedule.remove(["9999"]) == 0
    with Redis(port=new) as server:
        deployment.until(lambda: server.info("replication")["master_link_status"] == "up", within=20, why="no link")
        server.replicaof("NO", "ONE")
    name.target = new
    with Redis(port=old) as server:
        server.replicaof("127.0.0.1", new)
    # nobody is told of it: the first call after it works
    assert await schedule.remove(["9999"]) == 0
    assert deployment.expiry.schedule.remove(["9999"]) == 0
    await schedule.close()
