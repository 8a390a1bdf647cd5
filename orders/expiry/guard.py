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
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, TypeAlias

from orders import ids
from orders.hooks import Answer, GuardHook
from orders.logs import about

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
            closes = is_answered and self._failures >= self._limit
            self._failures = 0 if is_answered else self._failures + 1
            opens = self._failures == self._limit
            if self._failures >= self._limit:
                self._closed_at = self._monotonic() + self._pause
        if opens:
            logger.error(
                "the guard failed %d times in a row: no order is expired for %g s",
                self._limit,
                self._pause,
                extra=about("guard_opened", failures=self._limit, pause=self._pause),
            )
        if closes:
            logger.info("the guard answers again", extra=about("guard_closed"))


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
        self._room = BoundedSemaphore(2 * settings.guard_parallel)
        """A place for each thread that asks, and as many for those that hang and were left behind."""
        self.turn = Lock()
        """For those who ask about many: one after another, since each asks as many at a time as there are places."""

    def ask(self, order_ids: Sequence[str], *, lease: float | None = None) -> dict[str, Reply]:
        """Ask about orders, several at a time; return a reply for each.

        No question is begun after half a lease, so this takes no longer than that and one ``ORDERS_GUARD_TIMEOUT``.

        Args:
            order_ids: the orders.
            lease: the seconds that are left of their lease, if that is not a new one.
        """
        give_up = self._monotonic() + SHARE * (self._settings.lease if lease is None else lease)
        replies: dict[str, Reply] = {}
        waiting, running, answers = deque(order_ids), dict[str, float](), SimpleQueue[_Answered]()
        reason = ""
        while waiting or running:
            reason = ""
            while waiting and len(running) < self._settings.guard_parallel and not reason:
                reason = self._why_not(give_up)
                if not reason:
                    order_id = waiting.popleft()
                    running[order_id] = self._monotonic() + self._settings.guard_timeout
                    self._start(order_id, answers)
            if not running:
                break
            replies |= self._next(running, answers)
        unasked = Reply(Answer.UNKNOWN, reason, was_asked=False, wait=self._breaker.wait())
        return replies | dict.fromkeys(waiting, unasked)

    def _why_not(self, give_up: float) -> str:
        """Return why no question may be asked now; if one may, there is a place for it."""
        if self._monotonic() >= give_up:
            return "the guard took too long for the others"
        if not self._room.acquire(blocking=False):
            logger.error(
                "all %d places for questions to the guard are taken: if they hang, it needs a time-out of its own",
                2 * self._settings.guard_parallel,
                extra=about("guard_full", places=2 * self._settings.guard_parallel),
            )
            return "the guard is not asked: too many questions hang"
        if not self._breaker.allows():
            self._room.release()
            return "the guard is not asked: it failed too often"
        return ""

    def _start(self, order_id: str, answers: SimpleQueue[_Answered]) -> None:
        try:
            Thread(target=self._question, args=(order_id, answers), name="orders-guard", daemon=True).start()
        except RuntimeError as error:  # this process may have no more threads
            self._room.release()
            answers.put((order_id, Reply(Answer.UNKNOWN, f"the guard failed: {error}")))

    def _question(self, order_id: str, answers: SimpleQueue[_Answered]) -> None:
        """Ask about one order: what runs in a thread of its own."""
        try:
            answer = Answer(self._hook(order_id))
        except BaseException as error:  # SystemExit too: the thread ends here anyway
            told = about("guard_failed", [order_id])
            logger.warning("the guard failed for the order %s", ids.printable(order_id), exc_info=True, extra=told)
            answers.put((order_id, Reply(Answer.UNKNOWN, f"the guard failed: {type(error).__name__}: {error}")))
        else:
            reason = "the guard does not know yet" if answer is Answer.UNKNOWN else ""
            answers.put((order_id, Reply(answer, reason, was_answered=True)))
        finally:
            self._room.release()

    def _next(self, running: dict[str, float], answers: SimpleQueue[_Answered]) -> dict[str, Reply]:
        """Wait for an answer, or for the end of our patience with a question; return what came of it.

        Args:
            running: who is being asked about, and until when we wait.
            answers: where the answers come.
        """
        try:
            order_id, reply = answers.get(timeout=max(min(running.values()) - self._monotonic(), 0.0))
        except Empty:
            order_id = min(running, key=running.__getitem__)
            reply = Reply(Answer.UNKNOWN, f"the guard gave no answer within {self._settings.guard_timeout:g} s")
        if running.pop(order_id, None) is None:
            return {}  # the answer of one that was left behind
        self._breaker.note(is_answered=reply.was_answered)
        return {order_id: reply}
