"""Ask the shop's guard about many orders in parallel, with a timeout and a circuit breaker.

Each call runs in a thread of its own, so a call that hangs can be abandoned. The breaker is Michael Nygard's circuit
breaker ("Release It!", 2007): after some failures in a row there are no calls for a while, then one call as a test.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from queue import Empty, SimpleQueue
from threading import BoundedSemaphore, Lock, Thread
from typing import TYPE_CHECKING, TypeAlias

from orders import ids
from orders.clock import as_utc
from orders.hooks import Answer, GuardHook, Later, call_hook
from orders.logs import about

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

SHARE = 0.5
"""The part of a lease in which new calls may start. The rest is for updating the orders."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of asking the guard about one order."""

    answer: Answer
    reason: str = ""
    """With the answer UNKNOWN, why."""
    was_asked: bool = True
    """Whether the guard was called; if not, the breaker was open or there was no time left."""
    was_answered: bool = False
    """Whether the guard returned the answer. If it fails or is late, the answer is UNKNOWN and the order waits."""
    wait: float = 0.0
    """If the guard was not called, the seconds until it may be."""
    until: datetime | None = None
    """With the answer LATER, the new deadline, in UTC."""

    def still_valid(self, now: float) -> Reply:
        """Return the reply, or UNKNOWN in place of LATER with a time that has passed: it says nothing."""
        if self.until is None or self.until.timestamp() > now:
            return self
        reason = f"the guard answered LATER with a time that has passed: {self.until.isoformat()}"
        return Reply(Answer.UNKNOWN, reason, was_answered=True)


_Answered: TypeAlias = tuple[str, Reply]
"""An order id, and the reply about the order."""


class Breaker:
    """Stops calls after some failures in a row. After a pause it allows one; an answer to that closes it again.

    Args:
        failures: the number of failures in a row that opens it.
        pause: the seconds for which it stays open.
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(self, failures: int, pause: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._limit = failures
        self._pause = pause
        self._monotonic = monotonic
        self._lock = Lock()
        self._failures = 0
        self._paused_until = 0.0
        """The end of the pause, while the breaker is open."""

    def allows(self) -> bool:
        """Return whether a call may start now. After a pause only one may; the others wait for its answer."""
        with self._lock:
            if self._failures < self._limit:
                return True
            if self._monotonic() < self._paused_until:
                return False
            self._paused_until = self._monotonic() + self._pause
            return True

    def wait(self) -> float:
        """Return the seconds until the end of the pause; 0.0 if the breaker is closed."""
        with self._lock:
            is_open = self._failures >= self._limit
            return max(self._paused_until - self._monotonic(), 0.0) if is_open else 0.0

    def note(self, *, is_answered: bool) -> None:
        """Record how a call ended."""
        with self._lock:
            closes = is_answered and self._failures >= self._limit
            self._failures = 0 if is_answered else self._failures + 1
            opens = self._failures == self._limit
            if self._failures >= self._limit:
                self._paused_until = self._monotonic() + self._pause
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
    """The shop's guard with its breaker: one per process. Thread-safe.

    Args:
        hook: the shop's function; see `orders.hooks.Hooks.guard`.
        settings: the settings.
        monotonic: a monotonic clock, in seconds.
    """

    def __init__(self, hook: GuardHook, settings: Settings, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._hook = hook
        self._settings = settings
        self._monotonic = monotonic
        self._breaker = Breaker(settings.guard_failures, settings.guard_pause, monotonic)
        self._room = BoundedSemaphore(2 * settings.guard_parallel)
        """Limits the threads: one for each parallel call, and as many again for calls that hang and were abandoned."""
        self.turn = Lock()
        """Held while asking about many orders: one `ask` already uses all the parallel calls."""

    def ask(self, order_ids: Sequence[str], *, lease: float | None = None) -> dict[str, Reply]:
        """Ask about orders, several in parallel; return a reply for each.

        No call starts after half of the lease, so this takes at most that time plus one ``ORDERS_GUARD_TIMEOUT``.

        Args:
            order_ids: the orders.
            lease: the seconds that are left of their lease; by default a whole lease.
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
        """Return why no call may start now; if "", a thread is reserved for the call."""
        if self._monotonic() >= give_up:
            return "the guard is not asked: it took too long for other orders"
        if not self._room.acquire(blocking=False):
            logger.error(
                "all %d threads for the guard are busy: if its calls hang, give them a timeout",
                2 * self._settings.guard_parallel,
                extra=about("guard_full", places=2 * self._settings.guard_parallel),
            )
            return "the guard is not asked: too many calls hang"
        if not self._breaker.allows():
            self._room.release()
            return "the guard is not asked: it failed too often"
        return ""

    def _start(self, order_id: str, answers: SimpleQueue[_Answered]) -> None:
        try:
            Thread(target=self._question, args=(order_id, answers), name="orders-guard", daemon=True).start()
        except RuntimeError as error:  # this process cannot start more threads
            self._room.release()
            answers.put((order_id, Reply(Answer.UNKNOWN, f"the guard failed: {error}")))

    def _question(self, order_id: str, answers: SimpleQueue[_Answered]) -> None:
        """Call the guard about one order, in a thread of its own."""
        try:
            reply = _reply(call_hook(self._hook, order_id))
        except BaseException as error:  # SystemExit too: the thread ends here anyway
            fields = about("guard_failed", [order_id])
            logger.warning("the guard failed for order %s", ids.printable(order_id), exc_info=True, extra=fields)
            answers.put((order_id, Reply(Answer.UNKNOWN, f"the guard failed: {type(error).__name__}: {error}")))
        else:
            answers.put((order_id, reply))
        finally:
            self._room.release()

    def _next(self, running: dict[str, float], answers: SimpleQueue[_Answered]) -> dict[str, Reply]:
        """Wait for the next answer or timeout; return the reply.

        Args:
            running: the orders that the guard is being asked about, each with the time at which its call times out.
            answers: receives the answers.
        """
        try:
            order_id, reply = answers.get(timeout=max(min(running.values()) - self._monotonic(), 0.0))
        except Empty:
            order_id = min(running, key=running.__getitem__)
            reply = Reply(Answer.UNKNOWN, f"the guard gave no answer within {self._settings.guard_timeout:g} s")
        if running.pop(order_id, None) is None:
            return {}  # the answer of a call that was abandoned
        self._breaker.note(is_answered=reply.was_answered)
        return {order_id: reply}


def _reply(given: Answer | Later) -> Reply:
    """Return the reply for what the guard returned.

    Raises:
        ValueError: it is not an answer.
        InvalidDeadline: the time of LATER is not an aware datetime.
    """
    if isinstance(given, Later):
        return Reply(Answer.LATER, was_answered=True, until=as_utc(given.until))
    answer = Answer(given)
    if answer is Answer.LATER:
        raise ValueError("Answer.LATER needs a time: return Answer.LATER(until)")
    reason = "the guard does not know yet" if answer is Answer.UNKNOWN else ""
    return Reply(answer, reason, was_answered=True)
