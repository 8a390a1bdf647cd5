"""Workers that die, or are stopped."""

from __future__ import annotations

import os
import signal
from contextlib import suppress

import psutil
import pytest

from tests.faults.deployment import AHEAD, BACKLOG, PATIENCE, POOL, SWEEP, Deployment


def all_leased(deployment: Deployment, number: int = 2000) -> bool:
    return sum(map(len, deployment.expiry.schedule.standing().leased)) == number


def test_kill_9_a_worker_five_times(deployment: Deployment) -> None:
    deployment.beat()
    worker = deployment.worker()
    deployment.ready()
    deployment.place()
    for death in range(5):
        deployment.until_expired(death * 150)
        deployment.kill(worker)
        deployment.breaks()
        worker = deployment.worker(f"after{death}")
    deployment.finish(within=60)


def test_kill_9_pool_children(deployment: Deployment) -> None:
    deployment.beat()
    worker = deployment.worker(pool="prefork -c 2")
    deployment.ready()
    deployment.place()
    for death in range(4):
        deployment.until_expired(death * 300)
        with suppress(psutil.NoSuchProcess, IndexError):
            psutil.Process(worker.pid).children()[death % 2].kill()
        deployment.breaks()
    deployment.finish()


def test_kill_9_a_worker_that_holds_orders_until_their_deadlines(deployment: Deployment) -> None:
    # given a worker that holds 2,000 orders, of which none is due
    lease = AHEAD + 8  # by which no order is claimed again before it is due
    deployment.change(lookahead=AHEAD, lease=lease, max_backlog=10_000)
    deployment.beat()
    worker = deployment.worker()
    deployment.ready()
    deployment.place_ahead()
    deployment.until(lambda: all_leased(deployment), within=20, why="they were not claimed")
    deployment.until(lambda: deployment.redis.llen("orders.expire") == 0, within=20, why="they were not taken")
    # when it dies, and another takes its place
    deployment.kill(worker)
    deployment.breaks()
    deployment.change(lookahead=SWEEP, max_backlog=BACKLOG)
    deployment.worker("two")
    # then they are closed within a lease, the sweeps beside it, and the time to work them off
    report = deployment.finish(within=60)
    assert report.recovery < PATIENCE * (lease + 2 * SWEEP + 20)


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "with its group"])
def test_sigterm_while_orders_wait_for_their_deadlines(deployment: Deployment, whole_group: bool) -> None:
    # given a lease that is longer than the test, and a worker that holds what it took
    deployment.change(lookahead=AHEAD, lease=300.0, max_backlog=10_000)
    deployment.beat()
    worker = deployment.worker()
    deployment.ready()
    deployment.place_ahead()
    deployment.until(lambda: all_leased(deployment), within=20, why="they were not claimed")
    # when it is asked to stop
    deployment.breaks()
    (os.killpg if whole_group else os.kill)(worker.pid, signal.SIGTERM)
    assert worker.wait(20 * PATIENCE) == 0
    # then nothing waits for the lease: the queue has every order again that is left
    assert deployment.redis.llen("orders.expire") == deployment.redis.zcard("orders")
    deployment.worker("two")
    deployment.finish()


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "with its group"])
def test_sigterm_during_a_sweep(deployment: Deployment, whole_group: bool) -> None:
    # given many more orders than a sweep sends in a moment, or in the seconds that a slow machine may need to notice
    deployment.change(lease=300.0, sweep_interval=8.0, max_backlog=1_000_000, batch_threshold=1_000_000)
    deployment.place(16_000)
    deployment.beat()
    worker = deployment.worker()
    deployment.until(lambda: deployment.redis.llen("orders.expire") > 2000, within=40, why="no sweep ran")
    # when its worker is asked to stop in the midst of it
    deployment.breaks()
    (os.killpg if whole_group else os.kill)(worker.pid, signal.SIGTERM)
    assert worker.wait(20 * PATIENCE) == 0
    # then it has ended early, and what it claimed is in the queue
    leased = deployment.leased()
    assert deployment.redis.zcard("orders") > len(leased)
    queued = deployment.queued()
    assert leased <= set(queued)
    assert len(queued) == len(set(queued))
    # (the worker may hand back a message that a thread has just done: its lease is gone, so it is void)
    assert len(set(queued) - leased) <= POOL
    # and in batches, for the sake of the test's time, the next worker does the rest
    deployment.change(batch_threshold=100)
    deployment.worker("two")
    deployment.finish(within=90)


def test_a_rolling_restart(deployment: Deployment) -> None:
    deployment.change(lease=300.0)
    deployment.beat()
    old = [deployment.worker("one"), deployment.worker("two")]
    deployment.ready(2)
    deployment.place(due=1, spread=6)
    for number, worker in enumerate(old):
        deployment.until_expired(300)
        deployment.breaks()
        os.killpg(worker.pid, signal.SIGTERM)
        deployment.worker(f"new{number}")
        assert worker.wait(20 * PATIENCE) == 0
    deployment.finish()


def test_a_worker_that_gets_no_messages(deployment: Deployment) -> None:
    deployment.beat()
    deployment.deaf_worker()
    deployment.breaks()
    deployment.place()
    deployment.finish()
    assert "nothing was received for 1 s, although messages wait: orders." in deployment.log()
