"""Workers that die, are stopped, stand alone or have a wrong clock."""

from __future__ import annotations

import os
import re
import signal
from contextlib import suppress

import psutil
import pytest
from celery import Celery

from orders.sweep import Dispatch
from tests.faults.conftest import BACKLOG, LEASE, PATIENCE, POOL, Deployment


def all_leased(deployment: Deployment, number: int = 2000) -> bool:
    leased_until = deployment.expiry.schedule.now() + deployment.settings.lease / 2
    return int(deployment.redis.zcount("orders", leased_until, "+inf")) == number


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
    worker = deployment.start("worker -n one@%h -P prefork -c 2 -l INFO")
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
    deployment.change(sweep_interval=4.0, max_backlog=10_000)
    deployment.beat()
    worker = deployment.worker()
    deployment.ready()
    deployment.place(due=4, spread=2)
    deployment.until(lambda: all_leased(deployment), within=20, why="they were not claimed")
    deployment.until(lambda: deployment.redis.llen("orders.expire") == 0, within=20, why="they were not taken")
    # when it dies, and another takes its place
    deployment.kill(worker)
    deployment.breaks()
    deployment.change(max_backlog=BACKLOG)
    deployment.worker("two")
    # then they are closed within a lease, the sweeps beside it, and the time to work them off
    report = deployment.finish(within=60)
    assert report.recovery < PATIENCE * (LEASE + 2 * 4 + 20)


@pytest.mark.parametrize("whole_group", [False, True], ids=["alone", "with its group"])
def test_sigterm_while_orders_wait_for_their_deadlines(deployment: Deployment, whole_group: bool) -> None:
    # given a lease that is longer than the test, and a worker that holds what it took
    deployment.change(lease=300.0, sweep_interval=5.0, max_backlog=10_000)
    deployment.beat()
    worker = deployment.worker()
    deployment.ready()
    deployment.place(due=5, spread=2)
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
    # given many more orders than a sweep sends in a moment
    deployment.change(lease=300.0, sweep_interval=8.0, max_backlog=1_000_000, batch_threshold=1_000_000)
    deployment.place(8000)
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


def test_two_beats_and_three_workers(deployment: Deployment) -> None:
    deployment.beat()
    deployment.beat()
    for name in ("one", "two", "three"):
        deployment.worker(name)
    deployment.ready(3)
    deployment.place(due=1, spread=5)
    deployment.finish()


def test_kill_9_beat(deployment: Deployment) -> None:
    # given that beat is dead
    beat = deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.until(deployment.expiry.schedule.swept_at, within=20, why="nobody swept")
    deployment.kill(beat)
    deployment.breaks()
    # when orders fall due
    deployment.place()
    # then a worker sweeps, and says so
    deployment.finish()
    assert "NO SWEEP for" in deployment.log()
    assert deployment.expiry.schedule.noted("rescued")


def test_a_worker_that_takes_no_sweeps_sweeps_too_when_beat_is_dead(deployment: Deployment) -> None:
    deployment.start(f"worker -n one@%h -c {POOL} -l INFO -Q orders.expire")
    deployment.ready()
    deployment.breaks()
    deployment.place()
    deployment.finish()
    assert "through its queue orders.expire" in deployment.log()


@pytest.mark.parametrize("with_beat", [True, False], ids=["with beat", "without beat"])
@pytest.mark.parametrize("offset", ["+3600s", "-3600s"], ids=["an hour fast", "an hour slow"])
def test_a_worker_whose_clock_is(deployment: Deployment, offset: str, with_beat: bool, faketime: str) -> None:
    wrong = {"LD_PRELOAD": faketime, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    if with_beat:  # else the worker stands in for it, by its wrong clock
        deployment.beat()
    deployment.start(f"worker -c {POOL} -l INFO", **wrong)
    deployment.ready()
    deployment.place(500, due=3, spread=3)  # libfaketime has the threads of a worker wait for each other
    deployment.breaks()
    deployment.finish()
    assert "this host's clock is" in deployment.log()
    assert ("NO SWEEP" in deployment.log()) is not with_beat


def send(redis_url: str, dispatches: list[Dispatch]) -> None:
    app = Celery(broker=redis_url, set_as_current=False)
    for dispatch in dispatches:
        app.send_task("orders.expire", args=dispatch.order_ids, kwargs={"lease": dispatch.lease}, queue="orders.expire")
    app.close()


def test_messages_that_come_twice_or_too_late(deployment: Deployment) -> None:
    # given messages of a claim whose lease has run out, and of one that holds, twice
    deployment.place()
    stale = deployment.expiry.schedule.claim(1000)
    deployment.redis.zadd("orders", {claimed.order_id: stale.now for claimed in stale.claimed})
    held = deployment.expiry.schedule.claim(500)
    dispatches = [
        Dispatch((claimed.order_id,), claim.lease, None, None)  # type: ignore[arg-type]
        for claim in (stale, held, held)
        for claimed in claim.claimed
    ]
    send(deployment.redis_server.url, dispatches)
    # when workers take them
    deployment.breaks()
    deployment.beat()
    deployment.worker()
    # then what is void does nothing
    deployment.finish()
    told = re.findall(r"expire \{.*?'stale': (\d+)", deployment.log())
    assert sum(map(int, told)) >= 1000


@pytest.mark.parametrize("size", [1, 50], ids=["beside others", "in batches with others"])
def test_poison_that_kills_its_process(deployment: Deployment, size: int) -> None:
    # given an order of which every process dies that touches it
    deployment.change(max_attempts=2, batch_threshold=10 if size > 1 else 1_000_000, batch_size=size)
    deployment.beat()
    with deployment.supervised(app="poison"):
        deployment.ready()
        deployment.place()
        deployment.breaks()
        # then it alone is buried, and says why
        deployment.dead = 1
        deployment.finish(within=60)
    [(order_id, letter)] = deployment.expiry.schedule.dead()
    assert order_id == "7"
    assert "its process was killed each time" in letter["reason"]


def test_poison_that_the_database_refuses(deployment: Deployment) -> None:
    # given a trigger of the shop that raises for one order, in batches with others
    deployment.change(max_attempts=3, batch_threshold=10, batch_size=50)
    with deployment.engine.begin() as connection:
        connection.exec_driver_sql(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'no stock for order %%', new.id; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW WHEN (new.id = 7) EXECUTE FUNCTION refuse();
            """
        )
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.place()
    deployment.breaks()
    deployment.dead = 1
    deployment.finish()
    [(order_id, letter)] = deployment.expiry.schedule.dead()
    assert order_id == "7"
    assert "no stock for order 7" in letter["reason"]
    assert letter["attempts"] == 3
