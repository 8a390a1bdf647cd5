"""The building blocks of the model: machines whose cores are shared, and processes that do one thing at a time.

They use simpy, which has the clock, the queue of events and the queues between processes. simpy has no machine with
fewer cores than busy processes, which share the cores in turns, as on Linux: processor sharing.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Generator
from itertools import count
from typing import Any, TypeAlias

import simpy

Steps: TypeAlias = Generator[simpy.Event, Any, Any]
"""The events that a simulated process waits for, one after the other."""


class Machine:
    """Cores, each as fast as a core of the machine that the costs were measured on.

    All work gets the same share of the cores, and at most one core. In *virtual* time, which is the CPU seconds that
    each piece of work has had, the end of a piece never moves once it is known. So a heap of ends is enough (Kleinrock,
    "Queueing Systems", volume 2, 1976, 4.4).

    Args:
        env: the simulation.
        cores: number of cores.
        vary: if given, the time of a piece of work is exponentially distributed, with the measured cost as its mean.
    """

    def __init__(self, env: simpy.Environment, cores: int, vary: random.Random | None = None) -> None:
        self._env = env
        self._vary = vary
        self._virtual = 0.0
        self._since = 0.0
        self._ends: list[tuple[float, int, simpy.Event, float]] = []
        self._order = count()
        self._timer = 0
        self._used = 0.0
        self.cores = cores

    @property
    def used(self) -> float:
        """Core seconds so far."""
        self._advance()
        return self._used

    def work(self, seconds: float) -> simpy.Event:
        """Begin work of this many CPU seconds; return the event of its end, whose value is its CPU seconds."""
        if self._vary and seconds:
            seconds = self._vary.expovariate(1 / seconds)
        done = self._env.event()
        self._advance()
        heapq.heappush(self._ends, (self._virtual + seconds, next(self._order), done, seconds))
        self._wait()
        return done

    @property
    def _share(self) -> float:
        """The share of a core that each piece of work gets."""
        return min(1.0, self.cores / len(self._ends)) if self._ends else 1.0

    def _advance(self) -> None:
        passed = self._env.now - self._since
        self._virtual += passed * self._share
        self._used += passed * min(len(self._ends), self.cores)
        self._since = self._env.now

    def _wait(self) -> None:
        """Set a timer for the next end; earlier timers become void."""
        self._timer += 1
        if self._ends:
            left = max(self._ends[0][0] - self._virtual, 0.0) / self._share
            timer = self._env.timeout(left, self._timer)
            timer.callbacks.append(self._end)

    def _end(self, timer: simpy.Event) -> None:
        if timer.value != self._timer:
            return
        self._advance()
        self._virtual, _, done, seconds = heapq.heappop(self._ends)  # the exact end, without rounding
        done.succeed(seconds)
        self._wait()


class Process:
    """A process that does one thing at a time, in order of arrival: Redis, or Python, whose threads share a lock.

    Args:
        env: the simulation.
        machine: the machine that it runs on.
    """

    def __init__(self, env: simpy.Environment, machine: Machine) -> None:
        self._machine = machine
        self._turn = simpy.Resource(env)
        self.used = 0.0
        """CPU seconds so far."""

    def work(self, seconds: float) -> Steps:
        """Wait for the process and for a core, then work for this many CPU seconds."""
        with self._turn.request() as turn:
            yield turn
            worked = yield self._machine.work(seconds)
            self.used += worked
