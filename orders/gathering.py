"""Group commit: what several threads of a worker have to expire at the same time is done as one attempt.

One of the threads leads: it takes what the others have brought, makes the attempt for all, and hands on to one who has
come meanwhile. So a message for each order costs a part of a transaction, not a whole one. Databases do so with their
logs (DeWitt et al., "Implementation techniques for main memory database systems", 1984).

What was tried before is done alone: nothing else is under way in its process, so that an order that kills its process
harms no other, and is the only one that this is held against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Condition, Lock
from typing import cast

from orders import tracing
from orders.attempt import Attempt
from orders.entries import Lease
from orders.errors import OrdersError
from orders.scripting import CHUNK

DELAY = 0.01
"""Seconds that an attempt waits, at most, for as many messages as the one before was for: under load they come."""

LANES = 4
"""Attempts at a time, at most."""

PATIENCE = 0.05
"""Seconds after which the next attempt begins beside one that waits: for a row that a payment holds, or the guard."""


def _held() -> Lock:
    lock = Lock()
    lock.acquire()
    return lock


@dataclass(eq=False, slots=True)
class _Message:
    """What one thread has to expire."""

    order_ids: Sequence[str]
    lease: Lease
    asleep: Lock = field(default_factory=_held)
    """Held until its thread is to go on: a bare lock wakes in half of the time of an event."""
    leads: bool = False
    """Whether its thread is to make the next attempt."""
    ended: Attempt | BaseException | None = None
    """The attempt that it was in, or the error by which that ended."""


class Gathering:
    """Joins the attempts of threads.

    Args:
        attempt: makes one, for a lease.
    """

    def __init__(self, attempt: Callable[[Lease], Attempt]) -> None:
        self._attempt = attempt
        self._changed = Condition()
        """Its lock is for all that follows."""
        self._waiting: list[_Message] = []
        self._under_way = 0
        """How many attempts are, or are about to be."""
        self._want_alone = 0
        """How many threads run alone, or wait for that: no attempt begins meanwhile."""
        self._usual = 1
        """How many messages the last attempt was for, batches aside."""

    def expire(self, order_ids: Sequence[str], lease: Lease) -> dict[str, int]:
        """Expire orders, perhaps together with those of other threads; see `orders.expiry.OrderExpiry.expire`."""
        message = _Message(order_ids, lease)
        if self._is_to_lead(message):
            self._lead(message)
        if isinstance(message.ended, OrdersError):
            raise message.ended.anew()
        if isinstance(message.ended, BaseException):
            raise message.ended
        attempt = cast("Attempt", message.ended)
        if not message.leads:
            tracing.link(attempt.span)  # which is recorded in the trace of who led
        return self._try_again(message, attempt) if attempt.tried_before else attempt.end(order_ids)

    def _is_to_lead(self, message: _Message) -> bool:
        """Wait until somebody has done this message, or until this thread is to; tell which."""
        with self._changed:
            self._waiting.append(message)
            if len(self._waiting) >= self._usual:
                self._changed.notify_all()  # to who waits for as many; each time would cost more than the message
            message.leads = self._may_begin(1 if len(message.order_ids) == 1 else LANES)  # a batch needs no company
        while not message.leads and not message.ended:
            if not message.asleep.acquire(timeout=PATIENCE):
                with self._changed:
                    message.leads = message.leads or (message in self._waiting and self._may_begin(LANES))
        return message.leads

    def _may_begin(self, most: int) -> bool:
        """Count in another attempt, if there are fewer, and nobody is to run alone."""
        may = self._under_way < most and not self._want_alone
        self._under_way += may
        return may

    def _lead(self, message: _Message) -> None:
        """Make an attempt for a message and those that wait beside it."""
        messages = self._take(message)
        order_ids = dict.fromkeys(order_id for message in messages for order_id in message.order_ids)
        self._usual = len(messages) if len(messages) == len(order_ids) else 1
        ended: Attempt | BaseException
        ended = attempt = self._attempt(message.lease)
        try:
            attempt.run(list(order_ids), only_new=True)
        except BaseException as error:  # noqa: BLE001 - it is raised in each thread
            ended = error
        self._hand_on()
        message.ended = ended
        for other in messages[1:]:
            other.ended = ended
            other.asleep.release()

    def _take(self, message: _Message) -> list[_Message]:
        """Return a message and others of its lease, as many orders as one call of a script takes."""
        taken, room = [message], CHUNK - len(message.order_ids)
        with self._changed:
            self._changed.wait_for(lambda: len(self._waiting) >= self._usual, DELAY)
            for other in self._waiting:
                if other.lease == message.lease and not other.leads and len(other.order_ids) <= room:
                    taken.append(other)
                    room -= len(other.order_ids)
            self._waiting = [other for other in self._waiting if other not in taken]
        return taken

    def _hand_on(self) -> None:
        """Have the thread that has waited longest make the next attempt."""
        with self._changed:
            following = next((message for message in self._waiting if not message.leads), None)
            if following and not self._want_alone:
                following.leads = True
                following.asleep.release()
            else:
                self._under_way -= 1
                self._changed.notify_all()

    def _try_again(self, message: _Message, attempt: Attempt) -> dict[str, int]:
        """Expire those orders of a message that were tried before; return how it ended for all of them."""
        again = [order_id for order_id in message.order_ids if order_id in attempt.tried_before]
        others = [order_id for order_id in message.order_ids if order_id not in attempt.tried_before]
        alone = self._attempt(message.lease)
        if again:
            with self._alone():
                alone.run(again)
        # (what ended the attempt for others says nothing of a message that has none of them)
        return dict(Counter(attempt.end(others) if others else {}) + Counter(alone.end(again) if again else {}))

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._changed:
            self._want_alone += 1
            self._changed.wait_for(lambda: not self._under_way)
            self._under_way = 1
        try:
            yield
        finally:
            with self._changed:
                self._want_alone -= 1
            self._hand_on()
