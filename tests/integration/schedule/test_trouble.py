"""A Redis that is absent, hangs, holds something else or has forgotten the scripts."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from kombu.connection import Connection
from redis import Redis, exceptions

import tasks
from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis, free_port
from orders.errors import ScheduleError, ScheduleUnavailable
from orders.schedule import clients
from orders.schedule.aio import AsyncSchedule
from orders.schedule.sorted_set import Schedule


def test_a_redis_that_is_absent_is_an_error_that_names_it(settings: Settings) -> None:
    url = f"redis://shop:s3cret@127.0.0.1:{free_port()}/0"
    schedule = Schedule.connect(settings.model_copy(update={"redis_url": url}))
    with pytest.raises(ScheduleUnavailable) as caught:
        schedule.enqueue([("42", 1.0)])
    assert "ORDERS_REDIS_URL redis://shop:***@127.0.0.1" in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_redis_that_hangs_is_an_error_after_the_time_out(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:  # accepts, and never answers
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0?socket_timeout=0.2"
        schedule = Schedule.connect(settings.model_copy(update={"redis_url": url}))
        began = time.monotonic()
        with pytest.raises(ScheduleUnavailable, match=r"[Tt]imeout"):
            schedule.enqueue([("42", 1.0)])
        assert time.monotonic() - began < 5
        schedule.close()


def test_a_key_of_another_type_is_an_error_that_names_it(schedule: Schedule, redis: Redis) -> None:
    redis.set("orders", "something else")
    with pytest.raises(ScheduleError, match=r"key 'orders'.*WRONGTYPE"):
        schedule.enqueue([("42", 1.0)])


def test_scripts_come_back_after_redis_forgot_them(schedule: Schedule, redis: Redis) -> None:
    schedule.enqueue([("42", 1.0)])
    redis.script_flush()
    assert len(schedule.claim(1).claimed) == 1


@pytest.fixture
def demotable(tmp_path: Path) -> Iterator[Redis]:
    """A server that may be made a replica."""
    with EmbeddedRedis(tmp_path / "redis") as server, Redis(port=server.port) as client:
        yield client


def url_of(server: Redis) -> str:
    return f"redis://127.0.0.1:{server.get_connection_kwargs()['port']}/0"


def connections(server: Redis) -> set[str]:
    """Return the ids of the connections to a server."""
    return {client["id"] for client in server.client_list()}


def test_connections_do_not_stay_with_a_server_that_is_demoted(settings: Settings, demotable: Redis) -> None:
    schedule = Schedule.connect(settings.model_copy(update={"redis_url": url_of(demotable)}))
    schedule.enqueue([("42", 1.0)])
    before = connections(demotable)
    demotable.replicaof("127.0.0.1", free_port())
    with pytest.raises(ScheduleUnavailable, match=r"not the master.* replica"):
        schedule.claim(1)
    demotable.replicaof("NO", "ONE")
    assert len(schedule.claim(1).claimed) == 1
    assert connections(demotable) - before
    schedule.close()


def test_nor_do_those_of_an_event_loop(settings: Settings, demotable: Redis) -> None:
    async def run() -> None:
        schedule = AsyncSchedule.connect(settings.model_copy(update={"redis_url": url_of(demotable)}))
        await schedule.enqueue([("42", 1.0)])
        before = connections(demotable)
        demotable.replicaof("127.0.0.1", free_port())
        with pytest.raises(ScheduleUnavailable, match=r"not the master.* replica"):
            await schedule.remove(["42"])
        demotable.replicaof("NO", "ONE")
        assert await schedule.remove(["42"]) == 1
        assert connections(demotable) - before
        await schedule.close()

    asyncio.run(run())


def test_nor_do_those_to_the_broker(demotable: Redis) -> None:
    assert tasks.app  # it prepares kombu
    with Connection(url_of(demotable)) as connection:
        queue = connection.SimpleQueue("orders.expire")
        queue.put({"id": "42"})
        demotable.replicaof("127.0.0.1", free_port())
        with pytest.raises(exceptions.ConnectionError, match="not the master"):
            queue.put({"id": "43"}, retry=False)
        demotable.replicaof("NO", "ONE")
        queue.put({"id": "44"}, retry=False)
        assert [queue.get(timeout=5).payload["id"] for _ in range(2)] == ["42", "44"]
        queue.close()


def test_a_master_without_its_replicas_is_unavailable(settings: Settings, demotable: Redis) -> None:
    schedule = Schedule.connect(settings.model_copy(update={"redis_url": url_of(demotable)}))
    demotable.config_set("min-replicas-to-write", 1)
    with pytest.raises(ScheduleUnavailable, match="NOREPLICAS"):
        schedule.enqueue([("42", 1.0)])
    schedule.close()


def test_a_cluster_that_hangs_is_an_error_for_those_who_wait_too(settings: Settings) -> None:
    async def run() -> None:
        cluster = clients.async_client(settings.model_copy(update={"redis_url": "cluster://127.0.0.1:1"}))
        free = vars(cluster)["_free"]
        for _ in range(clients.CONNECTIONS):
            await free.acquire()
        with patch.object(clients, "TIMEOUT", 0.01), pytest.raises(exceptions.TimeoutError, match="became free"):
            await cluster.evalsha("0", 0)
        free.release()
        with pytest.raises(exceptions.RedisClusterException):  # nobody is there
            await cluster.evalsha("0", 0)
        assert free.locked() is False

    asyncio.run(run())
