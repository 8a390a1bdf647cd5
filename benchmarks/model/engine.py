"""What the model is made of: machines whose cores are shared, and processes that do one thing at a time.

On simpy, which brings the clock, the queue of events and the queues between processes. What it lacks is a machine with
fewer cores than busy processes, which Linux gives to all of them in turns: processor sharing.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import TypeAlias

import simpy

AWAKE = 1e-6
"""Seconds in which a thread asks for its lock again, if it goes on; less than it takes to wake another."""

Steps: TypeAlias = Iterator[simpy.Event]
"""What a simulated process waits for, one after the other."""


class Machine:
    """Cores, each of which is as fast as one of those that the costs were measured on.

    Everything that runs has the same share, and no more than one core. In *virtual* time, the CPU seconds that each of
    them has had, an end once known never moves; so a heap of ends is enough (Kleinrock, "Queueing
    Systems", volume 2, 1976, 4.4).

    Args:
        env: the simulation.
        cores: how many; more than one.
    """

    def __init__(self, env: simpy.Environment, cores: int) -> None:
        self._env = env
        self.cores = cores
        self._virtual = 0.0
        self._since = 0.0
        self._ends: list[tuple[float, int, simpy.Event]] = []
        self._order = count()
        self._timer = 0
        self.busy = 0.0
        """Core seconds that were used so far."""

    def work(self, seconds: float) -> simpy.Event:
        """Begin work that takes so many CPU seconds; return what happens when it is done."""
        done = self._env.event()
        self._advance()
        heapq.heappush(self._ends, (self._virtual + seconds, next(self._order), done))
        self._wait()
        return done

    @property
    def _share(self) -> float:
        """Cores that each has."""
        return min(1.0, self.cores / len(self._ends)) if self._ends else 1.0

    def _advance(self) -> None:
        passed = self._env.now - self._since
        self._virtual += passed * self._share
        self.busy += passed * min(len(self._ends), self.cores)
        self._since = self._env.now

    def _wait(self) -> None:
        """Wait for the next end; who waited before has been overtaken."""
        self._timer += 1
        if self._ends:
            left = max(self._ends[0][0] - self._virtual, 0.0) / self._share
            timeout = simpy.Timeout(self._env, left, self._timer)
            timeout.callbacks.append(self._end)

    def _end(self, timeout: simpy.Event) -> None:
        if timeout.value != self._timer:
            return
        self._advance()
        self._virtual, _, done = heapq.heappop(self._ends)  # exactly there, whatever was rounded
        done.succeed()
        self._wait()


@dataclass(frozen=True, slots=True)
class _Turn:
    """A thread that waits for the lock of its process."""

    thread: object
    since: float
    comes: simpy.Event


class Process:
    """What does one thing at a time: Redis; or Python, whose threads share a lock.

    Redis serves in the order of arrival. A thread of Python that has given its lock away, to write to a socket for
    instance, has it again before another one is awake; others get it when it blocks, or after the switch interval
    (Beazley, "Understanding the Python GIL", 2010). So threads do their work in groups, and answers of servers wait.

    Args:
        env: the simulation.
        machine: what it runs on.
        switch: Python's switch interval in seconds; 0 for the order of arrival.
    """

    def __init__(self, env: simpy.Environment, machine: Machine, *, switch: float = 0.0) -> None:
        self._env = env
        self._machine = machine
        self._switch = switch
        self._waiting: deque[_Turn] = deque()
        self._is_held = False
        self.used = 0.0
        """CPU seconds so far."""

    def work(self, seconds: float, thread: object = None) -> Steps:
        """Wait for its turn, and for a core; then work for so many CPU seconds."""
        turn = _Turn(thread, self._env.now, self._env.event())
        self._waiting.append(turn)
        if not self._is_held:
            self._go_on(None)
        yield turn.comes
        yield self._machine.work(seconds)
        self.used += seconds
        if self._switch:
            awake = simpy.Timeout(self._env, AWAKE, thread)
            awake.callbacks.append(lambda event: self._go_on(event.value))
        else:
            self._go_on(None)

    def _go_on(self, last: object) -> None:
        """Give the lock to the thread that had it last, if it wants it again and nobody has waited for too long."""
        self._is_held = bool(self._waiting)
        if not self._waiting:
            return
        turn = self._waiting[0]
        if last is not None and self._env.now - turn.since < self._switch:
            turn = next((each for each in self._waiting if each.thread is last), turn)
        self._waiting.remove(turn)
        turn.comes.succeed()
