"""Redis restarted, emptied, full, or hanging."""

from __future__ import annotations

import os
import signal
import time

import sqlalchemy as sa

from tests.faults.deployment import Deployment


def test_redis_killed_and_restarted_from_its_aof(deployment: Deployment) -> None:
    deployment.drain_half()
    os.kill(deployment.redis_server.pid, signal.SIGKILL)
    deployment.redis_server.stop()
    time.sleep(2)
    deployment.redis_server.start()
    deployment.finish(within=60)


def test_the_queue_deleted(deployment: Deployment) -> None:
    deployment.drain_half()
    deployment.redis.delete("orders.expire")
    deployment.finish()


def test_redis_emptied(deployment: Deployment) -> None:
    deployment.drain_half()
    deployment.redis.flushall()
    deployment.finish(within=60)


def test_redis_out_of_memory(deployment: Deployment) -> None:
    deployment.drain_half()
    deployment.redis.config_set("maxmemory", "1mb")
    time.sleep(8)
    deployment.redis.config_set("maxmemory", "0")
    deployment.finish(within=60)


def test_a_broker_that_is_full_when_a_worker_connects(deployment: Deployment) -> None:
    deployment.beat()
    worker = deployment.worker()
    deployment.ready()
    deployment.place()
    deployment.until_expired(300)
    deployment.breaks()
    deployment.redis.config_set("maxmemory", "1mb")
    for _ in range(8):  # whoever connects is sent away again
        deployment.redis.client_kill_filter(_type="normal")
        time.sleep(1)
    deployment.redis.config_set("maxmemory", "0")
    deployment.finish(within=60)
    assert worker.poll() is None


def test_redis_hanging_for_20_seconds(deployment: Deployment) -> None:
    deployment.drain_half()
    os.kill(deployment.redis_server.pid, signal.SIGSTOP)
    time.sleep(20)
    os.kill(deployment.redis_server.pid, signal.SIGCONT)
    deployment.finish(within=60)


def test_a_process_that_died_between_commit_and_enqueue(deployment: Deployment) -> None:
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.place(enqueue=False)
    deployment.breaks()
    deployment.finish()
    with deployment.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM audit")) == 1800
