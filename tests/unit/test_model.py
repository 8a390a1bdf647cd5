"""The simulation in benchmarks/model: its engine against results that are known, and the whole against conservation
and the drains that were measured."""

from __future__ import annotations

import json
import random
import statistics
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import pytest
import simpy

from benchmarks.model.costs import Costs
from benchmarks.model.engine import Machine, Process, Steps
from benchmarks.model.measured import KEPT, Measured, load
from benchmarks.model.predict import LARGE, flood, growth, steady
from benchmarks.model.system import Deployment, System
from benchmarks.model.worker import FEW, LANES, LONG
from orders.schedule.scripts import CHUNK
from tasks.worker import intake


@pytest.fixture(scope="module")
def measured() -> Measured:
    return load(json.loads(KEPT.read_text()))


@pytest.fixture(scope="module")
def costs(measured: Measured) -> Costs:
    return measured.costs


def _arriving(env: simpy.Environment, gaps: Iterator[float], process: Process, service: float) -> list[float]:
    """Have one come after each gap; return how long each was there."""
    spent: list[float] = []

    def one() -> Steps:
        came = env.now
        yield from process.work(service)
        spent.append(env.now - came)

    def all_of_them() -> Steps:
        for gap in gaps:
            yield env.timeout(gap)
            env.process(one())

    env.process(all_of_them())
    env.run()
    return spent


def test_work_on_a_busy_machine_is_shared_evenly() -> None:
    """Given two cores, when three begin work of 1, 2 and 3 s at once, then each has two thirds of a core at first."""
    env = simpy.Environment()
    machine = Machine(env, 2)
    ends: dict[float, float] = {}

    def one(seconds: float) -> Steps:
        yield machine.work(seconds)
        ends[seconds] = env.now

    for seconds in (1.0, 2.0, 3.0):
        env.process(one(seconds))
    env.run()

    assert ends == pytest.approx({1.0: 1.5, 2.0: 2.5, 3.0: 3.5})
    assert machine.used == pytest.approx(6.0)


def test_a_queue_waits_as_long_as_pollaczek_and_khinchin_say() -> None:
    """Given random arrivals that keep a process 70 % busy with work that is always the same (M/D/1)."""
    env, load, service = simpy.Environment(), 0.7, 1.0
    gaps = random.Random(7)
    process = Process(env, Machine(env, 1))

    spent = _arriving(env, (gaps.expovariate(load / service) for _ in range(20_000)), process, service)

    assert statistics.mean(spent) == pytest.approx(service + load * service / (2 * (1 - load)), rel=0.05)
    assert process.used / env.now == pytest.approx(load, rel=0.03), "the utilisation law"


def test_work_that_varies_waits_twice_as_long() -> None:
    """Given the same with exponential times (M/M/1), as the simulation of the system has them."""
    env, load, service = simpy.Environment(), 0.7, 1.0
    gaps = random.Random(7)
    process = Process(env, Machine(env, 1, random.Random(8)))

    spent = _arriving(env, (gaps.expovariate(load / service) for _ in range(30_000)), process, service)

    assert statistics.mean(spent) == pytest.approx(service / (1 - load), rel=0.1)


@pytest.mark.parametrize(
    ("deployment", "orders"),
    [
        pytest.param(Deployment(batch_size=1, one_machine=2), 1_003, id="task for each"),
        pytest.param(Deployment(batch_size=300, one_machine=2, workers=3), 70_001, id="batches on one machine"),
        pytest.param(Deployment(shards=3, own_broker=True, round_trip=0.001), 70_001, id="shards"),
        pytest.param(Deployment(batch_size=1, backlog=100, interval=0.2), 1_003, id="a short backlog"),
    ],
)
def test_each_order_leaves_once(costs: Costs, deployment: Deployment, orders: int) -> None:
    system = System(costs, deployment)

    drained = system.drain(orders)

    assert sum(number for _, number in system.commits) == orders
    assert not system.queue.items
    assert drained.attempts == len(system.commits)
    assert all(0 <= share <= 1 for share in drained.used.values()), drained.used


def test_the_same_seed_gives_the_same_drain(costs: Costs) -> None:
    drains = [System(costs, Deployment(one_machine=2), seed=seed).drain(50_000) for seed in (3, 3, 4)]

    assert drains[0] == drains[1] != drains[2]


def test_more_workers_and_more_shards_are_never_slower(costs: Costs) -> None:
    rates = [
        System(costs, Deployment(workers=workers, shards=shards, own_broker=True)).drain(200_000).rate
        for workers, shards in [(1, 1), (2, 1), (2, 4), (8, 4)]
    ]

    assert all(more > 0.97 * less for less, more in pairwise(rates)), rates
    assert rates[2] > 1.2 * rates[1]  # (with one shard, its Redis may be what a second worker waits for)
    assert rates[3] > 1.5 * rates[2]


def test_a_queue_that_is_full_has_the_sweep_wait_for_room(costs: Costs) -> None:
    """Given room for 100 messages, and a sweep every 1,000 s: the first one is enough if a worker takes messages."""
    deployment = Deployment(batch_size=100, workers=1, backlog=100, interval=1000.0)

    assert System(costs, deployment).drain(20_000).seconds < 1000
    assert System(replace(costs, worker_call=1.0), deployment).drain(20_000).seconds > 1000, "it waits for nobody"


def test_messages_that_came_together_share_an_attempt(costs: Costs) -> None:
    system = System(costs, Deployment(batch_size=1, workers=1))

    drained = system.drain(10_000)

    sizes = [number for _, number in system.commits]
    assert sizes[0] <= FEW < max(sizes) <= CHUNK
    assert drained.attempts < 10_000 / FEW


def test_a_worker_takes_as_many_as_those_of_the_project() -> None:
    assert (LANES, FEW, LONG) == (intake.LANES, intake.FEW, intake.LONG)


def test_drains_that_were_measured_are_reproduced(measured: Measured) -> None:
    """Within 20 %, by costs of parts that were measured by themselves. (Batches: they are quick to simulate.)"""
    drains = [drain for drain in measured.drains if drain.deployment.batch_size > 1]
    assert len(drains) >= 6

    modelled = {drain.name: System(measured.costs, drain.deployment).drain(drain.orders).rate for drain in drains}

    assert modelled == {drain.name: pytest.approx(drain.rate, rel=0.2) for drain in drains}


def test_what_a_steady_stream_needs_grows_with_it(measured: Measured) -> None:
    needed = [steady(measured.costs, measured.claims, pending) for pending in (10**6, 10**8, 10**10)]

    assert [found.batch for found in needed] == [1, *(found.batch for found in needed[1:])]
    assert needed[0].shards == 1 < needed[1].shards < needed[2].shards
    assert all(found.cores["schedule"] <= 0.7 * found.shards for found in needed)
    assert growth(measured.claims, 10**4) == 1 <= growth(measured.claims, 10**6) < growth(measured.claims, 10**7)


def test_every_part_works_as_long_as_its_orders_cost(costs: Costs) -> None:
    """Utilisation law: what PostgreSQL was busy for is what its rows and transactions cost."""
    orders = 200_000
    system = System(costs, Deployment(workers=8, database_cores=4, shards=2, own_broker=True))

    drained = system.drain(orders)

    cost = orders * costs.row + drained.attempts * costs.transaction
    assert system.database.used == pytest.approx(cost, rel=0.2), "each transaction varies; 200 of them less"
    assert drained.used["PostgreSQL"] == pytest.approx(system.database.used / 4 / system.env.now, rel=0.01)


def test_a_flood_is_limited_by_its_narrowest_part(costs: Costs) -> None:
    assert flood(costs, replace(LARGE, workers=1)).bottleneck == "workers"
    assert flood(costs, Deployment(workers=8, database_cores=1, shards=8, own_broker=True)).bottleneck == "PostgreSQL"
