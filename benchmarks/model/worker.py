"""A simulated worker: an event loop that takes messages in bulk, and one attempt for those that arrived together.

It works as in tasks/worker/intake.py and group.py. It omits messages that are due later, and orders that were tried
before.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.model.engine import Process, Steps
from orders.schedule.scripts import CHUNK

if TYPE_CHECKING:
    from benchmarks.model.system import System

LANES, FEW, LONG = 4, 32, 0.5
"""The same as in tasks/worker/intake.py, which is not imported because Celery would read its settings."""


class Message(NamedTuple):
    """The orders in one message."""

    orders: int
    lease: int
    """The lease under which they were claimed."""
    schedule: Process
    """The shard that contains them."""


class Worker:
    """One process: an event loop, and a thread for each attempt that is running. They share one lock, as in Python."""

    def __init__(self, system: System, process: Process) -> None:
        self._system, self._process, self._env = system, process, system.env
        self._waiting: deque[Message] = deque()
        self._most = FEW
        self._under_way = 0
        self._has_room = self._env.event()
        self._env.process(self._take())

    def _take(self) -> Steps:
        """Wait for a message; take it, and as many more as the next attempt may have."""
        costs, system = self._system.costs, self._system
        popped = costs.pop_message + costs.events_message * system.deployment.events
        while True:
            while (room := self._most - len(self._waiting)) <= 0:
                yield self._has_room
            first = yield system.queue.get()
            taken = [first, *system.queue.items[: room - 1]]
            del system.queue.items[: room - 1]
            yield from system.call(system.broker, len(taken) * popped)
            yield from self._process.work(len(taken) * costs.take_message)
            self._waiting.extend(taken)
            self._flush()

    def _flush(self) -> None:
        """Start as many attempts as may run at the same time."""
        while self._waiting and self._under_way < LANES:
            self._under_way += 1
            self._env.process(self._run(self._next()))
        self._has_room.succeed()
        self._has_room = self._env.event()

    def _next(self) -> Sequence[Message]:
        """Return the messages of the next attempt: those with the same lease, or one batch."""
        messages = [self._waiting.popleft()]
        (orders, lease, _) = messages[0]
        while orders == 1 and len(messages) < self._most and self._waiting and self._waiting[0].lease == lease:
            messages.append(self._waiting.popleft())
        return messages

    def _run(self, messages: Sequence[Message]) -> Steps:
        costs, deployment = self._system.costs, self._system.deployment
        began, orders = self._env.now, sum(message.orders for message in messages)
        yield from self._attempt(orders, messages[0].schedule)
        run = costs.run_message + costs.log_message * deployment.logs + costs.tell_message * deployment.events
        yield from self._process.work((len(messages) - 1) * run)
        self._under_way -= 1
        if self._env.now - began > LONG:
            self._most = max(self._most // 2, FEW)
        elif len(messages) >= self._most:
            self._most = min(self._most * 4, CHUNK)
        self._flush()

    def _attempt(self, orders: int, schedule: Process) -> Steps:
        """Start, update, settle. The cost for the worker is spread evenly before, between and after the three calls."""
        system, costs = self._system, self._system.costs
        each = costs.worker_order + costs.worker_event * system.deployment.events_table
        mine = (costs.worker_call + orders * each) / 4
        theirs = (costs.attempt_call + orders * costs.attempt_order * system.deployment.schedule_factor) / 2
        steps: tuple[Callable[[], Steps], ...] = (
            lambda: system.call(schedule, theirs),
            lambda: system.commit(orders),
            lambda: system.call(schedule, theirs),
        )
        for step in steps:
            yield from self._process.work(mine)
            yield from step()
        yield from self._process.work(mine)
        system.settled()
