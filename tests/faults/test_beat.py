"""Beat that dies or has a twin, and workers with a wrong clock."""

from __future__ import annotations

import pytest

from tests.faults.deployment import POOL, Deployment


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
    assert "sends one to its queue orders.expire" in deployment.log()


@pytest.mark.parametrize("with_beat", [True, False], ids=["with beat", "without beat"])
@pytest.mark.parametrize("offset", ["+3600s", "-3600s"], ids=["an hour fast", "an hour slow"])
def test_a_worker_whose_clock_is(deployment: Deployment, offset: str, with_beat: bool, faketime: str) -> None:
    wrong = {"LD_PRELOAD": faketime, "FAKETIME": offset, "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    if with_beat:  # else the worker stands in for it, by its wrong clock
        deployment.change(sweep_interval=4.0)  # libfaketime may hold up a worker for longer than three of a second
        deployment.beat()
    deployment.start(f"worker -c {POOL} -l INFO", **wrong)
    deployment.ready()
    deployment.place(500, due=3, spread=3)  # libfaketime has the threads of a worker wait for each other
    deployment.breaks()
    deployment.finish()
    assert "this host's clock is" in deployment.log()
    assert ("NO SWEEP" in deployment.log()) is not with_beat
