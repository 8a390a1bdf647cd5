"""What the model is made of: machines whose cores are shared, and processes that do one thing at a time.

On simpy, which brings the clock, the queue of events and the queues between processes. What it lacks is a machine with
fewer cores than busy processes, which Linux gives to all of them in turns: processor sharing.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Generator
from itertools import count
from typing import Any, TypeAlias

import simpy

Steps: TypeAlias = Generator[simpy.Event, Any, Any]
"""What a simulated process waits for, one after the other."""


class Machine:
    """Cores, each of which is as fast as one of those that the costs were measured on.

    Everything that runs has the same share, and no more than one core. In *virtual* time, the CPU seconds that each of
    them has had, an end once known never moves; so a heap of ends is enough (Kleinrock, "Queueing Systems", volume 2,
    1976, 4.4).

    Args:
        env: the simulation.
        cores: how many.
        vary: if it is given, work takes an exponential time of the given mean: what is measured are means.
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
        """Begin work of so many CPU seconds; return what happens at its end, with the seconds that it was."""
        if self._vary and seconds:
            seconds = self._vary.expovariate(1 / seconds)
        done = self._env.event()
        self._advance()
        heapq.heappush(self._ends, (self._virtual + seconds, next(self._order), done, seconds))
        self._wait()
        return done

    @property
    def _share(self) -> float:
        """The part of a core that each has."""
        return min(1.0, self.cores / len(self._ends)) if self._ends else 1.0

    def _advance(self) -> None:
        passed = self._env.now - self._since
        self._virtual += passed * self._share
        self._used += passed * min(len(self._ends), self.cores)
        self._since = self._env.now

    def _wait(self) -> None:
        """Wait for the next end; a timer that was set before is void."""
        self._timer += 1
        if self._ends:
            left = max(self._ends[0][0] - self._virtual, 0.0) / self._share
            timer = self._env.timeout(left, self._timer)
            timer.callbacks.append(self._end)

    def _end(self, timer: simpy.Event) -> None:
        if timer.value != self._timer:
            return
        self._advance()
        self._virtual, _, done, seconds = heapq.heappop(self._ends)  # exactly there, whatever was rounded
        done.succeed(seconds)
        self._wait()


class Process:
    """What does one thing at a time, in the order of arrival: Redis, or Python, whose threads share a lock.

    Args:
        env: the simulation.
        machine: what it runs on.
    """

    def __init__(self, env: simpy.Environment, machine: Machine) -> None:
        self._machine = machine
        self._turn = simpy.Resource(env)
        self.used = 0.0
        """CPU seconds so far."""

    def work(self, seconds: float) -> Steps:
        """Wait for its turn, and for a core; then work for so many CPU seconds."""
        with self._turn.request() as turn:
            yield turn
            worked = yield self._machine.work(seconds)
            self.used += worked
