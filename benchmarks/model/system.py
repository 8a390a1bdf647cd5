"""The simulated system: what each process does with orders, step by step, as in the project's code.

::

    Sweeper    orders/expiry/sweep.py    claim up to 1,000, make messages, send them; wait while the queue is full
    Worker     tasks/worker/intake.py    take messages in bulk; one attempt for all that arrived together (worker.py)
    attempt    orders/expiry/attempt.py  start, update and commit, settle

The model omits guards and hooks, failures, reconcile, and orders that are paid meanwhile.
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from itertools import count

import simpy

from benchmarks.model.costs import Costs
from benchmarks.model.engine import Machine, Process, Steps
from benchmarks.model.worker import Message, Worker
from orders.expiry.sweep import PATIENCE, PAUSE
from orders.schedule.scripts import CHUNK


@dataclass(frozen=True)
class Deployment:
    """Which processes run where, with which settings."""

    workers: int = 2
    shards: int = 1
    """Sorted sets. Each has its own Redis and a process that sweeps it: a shard has one sweep at a time."""
    batch_size: int = 1000
    """Orders per message: ORDERS_BATCH_SIZE in a flood, otherwise 1."""
    one_machine: int | None = None
    """Cores of the machine that everything shares; None if each process has its own core, and PostgreSQL its own
    machine."""
    database_cores: int = 32
    own_broker: bool = False
    """Whether the broker has its own Redis. If not, it shares that of the first shard."""
    events: bool = True
    """Whether workers send Flower's events."""
    logs: bool = True
    """Whether workers log each attempt."""
    events_table: bool = False
    """Whether each expiry writes a row to the table of events."""
    round_trip: float = 0.0
    """Seconds that a call and its answer take on the network."""
    commit_wait: float | None = None
    """Seconds that a commit waits for the disk; None for the measured time."""
    wal_bandwidth: float | None = None
    """Bytes of WAL that PostgreSQL can write per second; None for no limit."""
    backlog: int = 10_000
    """ORDERS_MAX_BACKLOG."""
    interval: float = 10.0
    """ORDERS_SWEEP_INTERVAL."""
    schedule_factor: float = 1.0
    """Factor by which an order costs more in this schedule than in a small one, which fits into a CPU cache."""


@dataclass(frozen=True)
class Drained:
    """The result of a simulated drain."""

    orders: int
    seconds: float
    rate: float
    """Orders per second from the first commit to the last, without those of the first, as the benchmarks count."""
    attempts: int
    used: dict[str, float]
    """The share of the time from first to last commit in which each part was busy; of equal parts, the busiest one."""

    @property
    def bottleneck(self) -> str:
        """The part that was busy for the largest share of the time."""
        return max(self.used, key=lambda name: self.used[name])


@dataclass
class System:
    """A deployment in simulated time.

    Args:
        costs: the cost of each step.
        deployment: which processes run where.
        seed: the seed for the random durations of the steps.
    """

    costs: Costs
    deployment: Deployment
    seed: int = 1
    env: simpy.Environment = field(default_factory=simpy.Environment)
    commits: list[tuple[float, int]] = field(default_factory=list)
    """The time of each commit, and its number of orders."""

    def __post_init__(self) -> None:
        deployment = self.deployment
        self._random = random.Random(self.seed)  # noqa: S311 - not used for secrets
        self.shared = deployment.one_machine and self._machine(deployment.one_machine)
        self.database = self.shared or self._machine(deployment.database_cores)
        self._wal = Process(self.env, Machine(self.env, 1))
        self.schedules = [self._process() for _ in range(deployment.shards)]
        self.broker = self._process() if deployment.own_broker else self.schedules[0]
        self.sweepers = [self._process() for _ in range(deployment.shards)]
        self.workers = [self._process() for _ in range(deployment.workers)]
        self.queue: simpy.Store = simpy.Store(self.env)
        self._leases = count()
        self._due = [0] * deployment.shards
        self._left = 0
        self._done = self.env.event()
        self._database_used = 0.0

    def drain(self, orders: int) -> Drained:
        """Expire orders that are all due, spread over the shards."""
        shards = self.deployment.shards
        self._due = [orders // shards + (shard < orders % shards) for shard in range(shards)]
        for shard, sweeper in enumerate(self.sweepers):
            self.env.process(self._sweeps(sweeper, shard))
        for process in self.workers:
            Worker(self, process)
        self._left = orders
        self.env.run(self._done)
        return self._drained(orders)

    def call(self, server: Process, seconds: float) -> Steps:
        """Send a request to a server, which works on it, and wait for the answer."""
        if self.deployment.round_trip:
            yield self.env.timeout(self.deployment.round_trip)
        yield from server.work(seconds)

    def commit(self, orders: int) -> Steps:
        """Update rows in a transaction."""
        costs, deployment = self.costs, self.deployment
        row = costs.row + costs.event_row * deployment.events_table
        work = costs.transaction + orders * row
        if deployment.round_trip:
            yield self.env.timeout(3 * deployment.round_trip)  # BEGIN with the first statement, UPDATE, COMMIT
        worked = yield self.database.work(work)
        self._database_used += worked
        if deployment.wal_bandwidth:
            yield from self._wal.work(orders * costs.wal_order / deployment.wal_bandwidth)
        wait = costs.commit_wait if deployment.commit_wait is None else deployment.commit_wait
        if wait:
            yield self.env.timeout(wait)
        self.commits.append((self.env.now, orders))
        self._left -= orders

    def settled(self) -> None:
        """Record that an attempt has ended."""
        if not self._left and not self._done.triggered:
            self._done.succeed()

    def _machine(self, cores: int) -> Machine:
        return Machine(self.env, cores, self._random)

    def _process(self) -> Process:
        return Process(self.env, self.shared or self._machine(1))

    def _sweeps(self, sweeper: Process, shard: int) -> Steps:
        """Sweep a shard at once, and then once per interval, as beat does, until nothing is due."""
        beat = 0.0
        while self._due[shard]:
            beat += self.deployment.interval
            yield from self._sweep(sweeper, shard, until=beat)
            if self.env.now < beat:
                yield self.env.timeout(beat - self.env.now)

    def _sweep(self, sweeper: Process, shard: int, *, until: float) -> Steps:
        """Claim and send. While the queue is full, wait for room, as long as workers make progress."""
        backlog, seen, since = self.deployment.backlog, sys.maxsize, self.env.now
        enough = min(CHUNK, backlog // 2)
        while self._due[shard] and self.env.now < until:
            yield from self.call(self.broker, self.costs.length)
            waiting = len(self.queue.items)
            if waiting < seen:
                seen, since = waiting, self.env.now
            if backlog - waiting >= enough:
                seen = sys.maxsize
                yield from self._claim(sweeper, shard, min(backlog - waiting, CHUNK, self._due[shard]))
            elif self.env.now - since >= PATIENCE:
                break
            else:
                yield self.env.timeout(PAUSE)

    def _claim(self, sweeper: Process, shard: int, orders: int) -> Steps:
        """Claim this many orders, and send them to the workers."""
        costs, deployment, schedule = self.costs, self.deployment, self.schedules[shard]
        self._due[shard] -= orders
        yield from self.call(schedule, costs.claim_call + orders * costs.claim_order * deployment.schedule_factor)
        sizes = [min(deployment.batch_size, orders - first) for first in range(0, orders, deployment.batch_size)]
        yield from sweeper.work(costs.sweep_call + orders * costs.sweep_order + len(sizes) * costs.sweep_message)
        batched = orders if deployment.batch_size > 1 else 0
        yield from self.call(self.broker, len(sizes) * costs.push_message + batched * costs.push_order)
        lease = next(self._leases)
        for size in sizes:
            self.queue.put(Message(size, lease, schedule))

    def _drained(self, orders: int) -> Drained:
        (first, at_once), (last, _) = self.commits[0], self.commits[-1]
        seconds, whole = last - first, self.env.now

        def busiest(processes: list[Process]) -> float:
            return max(process.used for process in processes) / whole

        used = {
            "sweeper": busiest(self.sweepers),
            "schedule": busiest(self.schedules),
            "workers": sum(process.used for process in self.workers) / len(self.workers) / whole,
            "PostgreSQL": self._database_used / self.database.cores / whole,
        }
        if self.shared:
            used["cores"] = self.shared.used / self.shared.cores / whole
        if self.deployment.own_broker:
            used["broker"] = self.broker.used / whole
        if self.deployment.wal_bandwidth:
            used["PostgreSQL's disk"] = self._wal.used / whole
        rate = (orders - at_once) / seconds if seconds else 0.0
        return Drained(orders, seconds, rate, len(self.commits), used)
