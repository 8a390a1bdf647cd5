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
    # then a worker sweeps, and says so, even if a last sweep of beat's has found them
    deployment.finish()
    deployment.until(lambda: "NO SWEEP for" in deployment.log(), within=20, why="no worker noticed")
    assert deployment.expiry.schedule.noted("rescued")


def test_workers_stand_in_for_all_of_beat(deployment: Deployment) -> None:
    # given two workers, and beat, which is then dead
    beat, schedule = deployment.beat(), deployment.expiry.schedule
    deployment.until(lambda: "Sending due task" in deployment.log("beat"), within=40, why="beat did not start")
    deployment.worker("one")
    deployment.worker("two")
    deployment.ready(2)
    tasks = {"orders.sweep", "orders.reconcile", "orders.deliver", "orders.prune"}
    deployment.until(
        lambda: set(schedule.runs()) == tasks and schedule.rescued() == [],
        within=20,
        why="beat did not send everything",
    )
    deployment.kill(beat)
    deployment.breaks()
    # when an application dies before it schedules orders that fall due
    deployment.place(200, enqueue=False)
    # then a worker reconciles, and sweeps
    deployment.finish()
    # and delivers events; the doctor names what beat no longer sends
    deployment.until(
        lambda: set(schedule.rescued()) == tasks - {"orders.prune"}, within=20, why="not everything is rescued"
    )
    verbs = ("SWEEP", "RECONCILE", "DELIVER")
    for verb in verbs:
        assert f"NO {verb} for" in deployment.log()
    # and each is sent by one worker, not by both (a worker counts it first, then says so)
    deployment.until(
        lambda: schedule.noted("rescued") == sum(deployment.log().count(f"NO {verb} for") for verb in verbs),
        within=20,
        why="not each is counted once",
    )
    # when beat is back, then no worker stands in any more
    deployment.beat()
    deployment.until(lambda: schedule.rescued() == [], within=20, why="beat is not seen")


@pytest.mark.parametrize("offset", ["-600s", "+600s"], ids=["back", "forward"])
def test_the_clock_of_beat_is_set(deployment: Deployment, offset: str, faketime: str) -> None:
    # given a worker, and beat, on a host whose clock is set while it runs
    deployment.change(sweep_interval=2.0)  # a slow machine may hold up a sweep for longer than three of a second
    clock = deployment.folder / "clock"
    clock.write_text("+0s")
    deployment.worker()
    deployment.ready()
    told = {"FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    deployment.start("beat -l INFO", app="sleepless", LD_PRELOAD=faketime, **told)
    deployment.until(
        lambda: deployment.log("beat").count("Sending due task sweep") > 1, within=40, why="beat sends no sweep"
    )
    deployment.until_swept()
    before = len(deployment.log())
    clock.write_text(offset)
    deployment.breaks()
    # then beat goes on, and no worker has to stand in for it
    deployment.place(200, due=3, spread=3)
    deployment.finish()
    for _ in range(3):
        deployment.until_swept()
    assert "NO SWEEP" not in deployment.log()[before:]
    assert ("this host's clock was set back by 600" in deployment.log("beat")) is (offset == "-600s")


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
        # libfaketime may hold up a worker for longer than three of a second (and an order, if it then is claimed anew)
        deployment.change(sweep_interval=8.0, lease=30.0)
        deployment.beat()
    deployment.start(f"worker -c {POOL} -l INFO", app="sleepless", **wrong)
    deployment.ready()
    deployment.place(500, due=3, spread=3)  # libfaketime has the threads of a worker wait for each other
    deployment.breaks()
    deployment.finish()
    assert "this host's clock is" in deployment.log()
    assert ("NO SWEEP" in deployment.log()) is not with_beat
