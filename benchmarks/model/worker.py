"""A worker as the model has it: an event loop, threads, and the attempts that they share (orders/gathering.py)."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import simpy

from benchmarks.model.engine import Process, Steps
from orders.gathering import DELAY, LANES
from orders.scripting import CHUNK

if TYPE_CHECKING:
    from benchmarks.model.system import System


@dataclass(eq=False, slots=True)
class Message:
    """Orders that one message names."""

    orders: int
    leads: simpy.Event
    """Happens with True when its thread is to make the next attempt, with False when its attempt has ended."""


class Worker:
    """One process: an event loop that takes messages, and threads that run them. It has one lock, as Python has."""

    def __init__(self, system: System, process: Process) -> None:
        self.system, self.process, self.env = system, process, system.env
        self.taken: simpy.Store = simpy.Store(self.env, capacity=system.deployment.prefetch)
        self.gathering = _Gathering(self)
        self.env.process(self._take())
        for _ in range(system.deployment.threads):
            self.env.process(self._thread())

    def _take(self) -> Steps:
        costs, system = self.system.costs, self.system
        popped = costs.pop_message + costs.events_message * system.deployment.events
        while True:
            message: Message = yield system.queue.get()
            yield from system.call(system.broker, popped)
            yield from self.process.work(costs.take_message)
            yield self.taken.put(message)

    def _thread(self) -> Steps:
        costs, deployment = self.system.costs, self.system.deployment
        run = costs.run_message + costs.log_message * deployment.logs + costs.tell_message * deployment.events
        while True:
            message: Message = yield self.taken.get()
            batch = message.orders * costs.worker_batch if message.orders > 1 else 0.0
            yield from self.process.work(run + batch)
            yield from self.gathering.expire(message)


class _Gathering:
    """Group commit, as in orders/gathering.py; without what it does for orders that were tried before."""

    def __init__(self, worker: Worker) -> None:
        self._worker, self._env = worker, worker.env
        self._waiting: deque[Message] = deque()
        self._under_way = 0
        self._usual = 1
        self._enough: list[tuple[simpy.Event, int]] = []
        """Who waits until so many messages wait."""

    def expire(self, message: Message) -> Steps:
        """Lead an attempt, or wait until somebody has made it."""
        self._waiting.append(message)
        for enough, usual in self._enough:
            if len(self._waiting) >= usual and not enough.triggered:
                enough.succeed()
        if self._under_way < (LANES if message.orders > 1 else 1):
            self._under_way += 1
        elif not (yield message.leads):
            return
        yield from self._lead(message)

    def _lead(self, message: Message) -> Steps:
        if len(self._waiting) < self._usual:
            enough = (self._env.event(), self._usual)
            self._enough.append(enough)
            yield enough[0] | self._env.timeout(DELAY)
            self._enough.remove(enough)
        taken = self._take(message)
        orders = sum(each.orders for each in taken)
        self._usual = len(taken) if len(taken) == orders else 1
        yield from self._attempt(orders)
        following = next((each for each in self._waiting if not each.leads.triggered), None)
        if following:
            following.leads.succeed(value=True)
        else:
            self._under_way -= 1
        for other in taken[1:]:
            other.leads.succeed(value=False)

    def _take(self, message: Message) -> list[Message]:
        taken, room = [message], CHUNK - message.orders
        for other in self._waiting:
            if other is not message and not other.leads.triggered and other.orders <= room:
                taken.append(other)
                room -= other.orders
        self._waiting = deque(each for each in self._waiting if each not in taken)
        return taken

    def _attempt(self, orders: int) -> Steps:
        """Start, update, settle. What it costs the worker is spread evenly around the three calls."""
        worker, system, costs = self._worker, self._worker.system, self._worker.system.costs
        each = costs.worker_order + costs.worker_event * system.deployment.events_table
        mine = (costs.worker_call + orders * each) / 4
        theirs = (costs.attempt_call + orders * costs.attempt_order * system.deployment.schedule_factor) / 2
        schedule = system.schedule_of()
        steps: tuple[Callable[[], Steps], ...] = (
            lambda: system.call(schedule, theirs),
            lambda: system.commit(orders),
            lambda: system.call(schedule, theirs),
        )
        for step in steps:
            yield from worker.process.work(mine)
            yield from step()
        yield from worker.process.work(mine)
        system.settled()
