"""A pause in the middle of a flood, and the brake: nothing expires, nothing is lost, each order ends once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
import sqlalchemy as sa

from orders.expiry.pause import BRAKE, pause_schedule, resume_schedule
from orders.store.sql_store import SqlStore
from tests.faults.deployment import AHEAD, LEASE, Deployment


def now(deployment: Deployment) -> datetime:
    """Return the database's clock, by which the audit writes."""
    with deployment.engine.connect() as connection:
        found: datetime = connection.execute(sa.text("SELECT clock_timestamp()")).scalar_one()
    return found


def until_attempts_have_ended(deployment: Deployment) -> None:
    """Wait until every transaction has ended that runs now: those do not know of a pause that began meanwhile."""
    others = sa.text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND xact_start < :start")
    start = now(deployment)

    def have_ended() -> bool:
        with deployment.engine.connect() as connection:
            return not connection.scalar(others, {"start": start})

    deployment.until(have_ended, within=20, why="a transaction does not end")


def expired_between(deployment: Deployment, start: datetime, end: datetime) -> int:
    count = "SELECT count(*) FROM audit WHERE became = 'expired' AND at >= :start AND at < :end"
    with deployment.engine.connect() as connection:
        return int(connection.execute(sa.text(count), {"start": start, "end": end}).scalar_one())


@contextmanager
def paused(deployment: Deployment) -> Iterator[None]:
    """Pause, go on after the block, and check that nothing has expired but in transactions that ran when it began."""
    pause_schedule(deployment.expiry, reason="the gateway is down", by="anna")
    until_attempts_have_ended(deployment)
    since = now(deployment)
    yield
    for _ in range(3):
        deployment.until_swept()
    deployment.until(lambda: (now(deployment) - since).total_seconds() > 3, within=10, why="the clock stands still")
    resumed = now(deployment)
    resume_schedule(deployment.expiry)
    deployment.breaks()
    assert expired_between(deployment, since, resumed) == 0


@pytest.fixture(autouse=True)
def _events(deployment: Deployment) -> None:
    store = deployment.expiry.store
    assert isinstance(store, SqlStore)
    store.create_outbox()


def test_a_pause_in_a_flood_in_which_a_worker_is_killed(deployment: Deployment) -> None:
    # given a flood that two workers are draining
    deployment.change(max_backlog=4000)
    deployment.beat()
    worker, other = deployment.worker(), deployment.worker("other")
    deployment.ready(2)
    deployment.place(20_000)
    deployment.until_expired(3000)
    # when it is paused, a worker is killed and another stopped meanwhile, and leases run out
    with paused(deployment):
        deployment.kill(worker)
        os.killpg(other.pid, signal.SIGTERM)
        deployment.worker("two")
        time.sleep(LEASE)  # so that what the killed worker has claimed is free
    # then the rest ends after it, each once, and no attempt has failed or was counted twice
    deployment.finish(within=90)
    assert "retried" not in deployment.expiry.schedule.stats()


def test_a_pause_of_orders_that_a_worker_holds_until_their_deadlines(deployment: Deployment) -> None:
    # given a worker that holds orders, of which none is due
    deployment.change(lookahead=AHEAD, max_backlog=10_000, lease=300.0)
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.place_ahead()
    deployment.until(deployment.leased, within=20, why="they were not claimed")
    # when it is paused before they fall due, and resumed after
    with paused(deployment):
        deployment.until(lambda: not deployment.leased(), within=30, why="they were not given back")
    # then they end after it, without waiting for a lease
    deployment.finish()


def test_redis_loses_its_data_in_a_pause(deployment: Deployment) -> None:
    deployment.drain_half()
    with paused(deployment):
        deployment.redis.flushall()
        deployment.expiry.reconcile(everything=True)
    deployment.finish(within=60)


def test_the_brake_stops_a_flood_until_somebody_resumes(deployment: Deployment) -> None:
    # given a brake that allows less than a flood has
    deployment.change(brake="600/1h", max_backlog=200)
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.place()
    pauses = deployment.expiry.store.pauses
    for _ in range(2):
        # when so many have expired, the schedule is paused by itself
        deployment.until(pauses.current, within=40, why="the brake did nothing")
        found = pauses.current()
        assert found
        assert (found.by, found.until) == (BRAKE, None)
        until_attempts_have_ended(deployment)
        before = deployment.expired()
        for _ in range(3):
            deployment.until_swept()
        assert deployment.expired() == before < 1800
        # then it waits for somebody
        resume_schedule(deployment.expiry)
    deployment.until(lambda: pauses.current() or deployment.pending() == 0, within=40, why="nothing went on")
    resume_schedule(deployment.expiry)
    deployment.finish(within=60)
