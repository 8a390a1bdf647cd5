"""Asking the shop's guard, many orders at a time, without waiting for ever and without harassing who is down.

Each question runs in a thread of its own, so that one that hangs can be left behind. The breaker is Michael Nygard's
circuit breaker ("Release It!", 2007): after some failures in a row nobody is asked for a while, then one is.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, TypeAlias

from orders import ids
from orders.hooks import Answer, GuardHook

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

SHARE = 0.5
"""The part of a lease in which the questions about a message must be through, so that the rest is for their orders."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of the question about one order."""

    answer: Answer
    reason: str = ""
    """With UNKNOWN, why."""
    was_asked: bool = True
    """If not, the gateway is down, or time was up: the order is not to blame."""
    was_answered: bool = False
    """Whether the guard said so itself. A guard that fails, or that is late, delays the order and decides nothing."""
    wait: float = 0.0
    """If it was not asked, the seconds until it may be."""


_Answered: TypeAlias = tuple[str, Reply]
"""The order, and what came of the question."""


class Breaker:
    """Stops the questions after some failures in a row; lets one through after a pause, and all after an answer.

    Args:
        failures: how many in a row open it.
        pause: seconds for which it stays open.
        monotonic: seconds from any beginning.
    """

    def __init__(self, failures: int, pause: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._pause = pause
        self._monotonic = monotonic
        self._lock = Lock()
        self._failures = 0
        self._closed_at = 0.0
        """The end of the pause, while it is open."""

    def allows(self) -> bool:
        """Tell whether to ask now. Of those who come after a pause, one may; the others wait for its answer."""
        with self._lock:
            if self._failures < self._limit:
                return True
            if self._monotonic() < self._closed_at:
                return False
            self._closed_at = self._monotonic() + self._pause
            return True

    def wait(self) -> float:
        """Return the seconds until the end of the pause; 0.0 if there is none."""
        with self._lock:
            is_open = self._failures >= self._limit
            return max(self._closed_at - self._monotonic(), 0.0) if is_open else 0.0

    def note(self, *, is_answered: bool) -> None:
        """Tell it how a question ended."""
        with self._lock:
            self._failures = 0 if is_answered else self._failures + 1
            opens = self._failures == self._limit
            if self._failures >= self._limit:
                self._closed_at = self._monotonic() + self._pause
        if opens:
            logger.error("the guard failed %d times in a row: no order is expired for %g s", self._limit, self._pause)


class Guard:
    """The guard of a shop, with its breaker: one per process. Safe to share by threads.

    Args:
        hook: the function of the shop; see `orders.hooks.Hooks.guard`.
        settings: the settings.
        monotonic: seconds from any beginning.
    """

    def __init__(self, hook: GuardHook, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hook = hook
        self._settings = settings
        self._monotonic = monotonic
        self._breaker = Breaker(settings.guard_failures, settings.guard_pause, monotonic)
        self._left_behind: list[Thread] = []

    def ask(self, order_ids: Sequence[str]) -> dict[str, Reply]:
        """Ask about orders, several at a time; return a reply for each.

        No question is begun after half a lease, so this takes no longer than that and one ``ORDERS_GUARD_TIMEOUT``.
        """
        give_up = self._monotonic() + SHARE * self._settings.lease
        replies: dict[str, Reply] = {}
        waiting, running, answers = deque(order_ids), dict[str, _Question](), SimpleQueue[_Answered]()
        while waiting or running:
            while waiting and len(running) < self._settings.guard_parallel and self._may_ask(give_up):
                order_id = waiting.popleft()
                thread = Thread(target=self._question, args=(order_id, answers), name="orders-guard", daemon=True)
                running[order_id] = _Question(thread, self._monotonic() + self._settings.guard_timeout)
                thread.start()
            if not running:
                break
            replies |= self._next(running, answers)
        wait = self._breaker.wait()
        reason = "the guard is not asked: it failed too often" if wait else "the guard took too long for the others"
        return replies | dict.fromkeys(waiting, Reply(Answer.UNKNOWN, reason, was_asked=False, wait=wait))

    def _may_ask(self, give_up: float) -> bool:
        self._left_behind = [thread for thread in self._left_behind if thread.is_alive()]
        has_room = len(self._left_behind) < self._settings.guard_parallel
        return has_room and self._monotonic() < give_up and self._breaker.allows()

    def _question(self, order_id: str, answers: SimpleQueue[_Answered]) -> None:
        """Ask about one order: what runs in a thread of its own."""
        try:
            answer = Answer(self._hook(order_id))
        except Exception as error:
            logger.warning("the guard failed for the order %s", ids.printable(order_id), exc_info=True)
            answers.put((order_id, Reply(Answer.UNKNOWN, f"the guard failed: {type(error).__name__}: {error}")))
        else:
            reason = "the guard does not know yet" if answer is Answer.UNKNOWN else ""
            answers.put((order_id, Reply(answer, reason, was_answered=True)))

    def _next(self, running: dict[str, _Question], answers: SimpleQueue[_Answered]) -> dict[str, Reply]:
        """Wait for an answer, or for the end of our patience with a question; return what came of it."""
        patience = min(question.until for question in running.values()) - self._monotonic()
        try:
            order_id, reply = answers.get(timeout=max(patience, 0.0))
        except Empty:
            order_id = min(running, key=lambda order_id: running[order_id].until)
            reply = Reply(Answer.UNKNOWN, f"the guard gave no answer within {self._settings.guard_timeout:g} s")
            # It keeps its thread until it ends: there are never more than twice as many as may be asked at once.
            self._left_behind.append(running[order_id].thread)
        if running.pop(order_id, None) is None:
            return {}  # the answer of one that was left behind
        self._breaker.note(is_answered=reply.was_answered)
        return {order_id: reply}


@dataclass(frozen=True, slots=True)
class _Question:
    """Who is being asked."""

    thread: Thread
    until: float
    """The end of our patience."""
