"""Deliver events from the outbox to the shop's handlers: at least once, and in order for each order.

An event is claimed for the length of a lease, like an order. If the process dies, another one delivers the event again
when the lease has ended. Only the oldest undelivered event of an order can be claimed, so an event whose handler fails
delays the later events of its order, and no other order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from orders import ids
from orders.config import mask
from orders.errors import DeliveryFailed
from orders.events import Event
from orders.expiry.dispositions import backoff
from orders.hooks import EventHook, call_hook
from orders.logs import about
from orders.store import OrderStore, Postponed, without_conflict

if TYPE_CHECKING:
    from orders.config import Settings

T = TypeVar("T")

R = TypeVar("R")

logger = logging.getLogger(__name__)

PAGE = 100
"""Events that are claimed at a time: the most that are delivered twice if a process is killed."""

SHARE = 0.5
"""The part of the lease in which a page must be delivered. Events that are left then are released."""

PRUNED = 1000
"""Events that are deleted in one transaction."""

MAX_ERROR_LENGTH = 1000
"""Characters of an error that are stored."""


def deliver(
    store: OrderStore,
    handlers: Sequence[EventHook],
    settings: Settings,
    *,
    is_over: Callable[[], bool],
    sleep: Callable[[float], None],
    jitter: Callable[[], float],
    monotonic: Callable[[], float] = time.monotonic,
) -> dict[str, int]:
    """Call all handlers with each undelivered event, until none is left.

    Without handlers nothing happens: the events wait for a process that has some, or for the end of their retention.

    Args:
        store: the store with the events.
        handlers: called with each event.
        settings: the settings.
        is_over: returns whether to stop; called after each event.
        sleep: sleeps for a number of seconds.
        jitter: returns a random number from 0 to 1, to spread retries.
        monotonic: a monotonic clock, in seconds.

    Returns:
        The number of events "delivered".

    Raises:
        DeliveryFailed: a handler raised. These events are delivered again later; all others were delivered.
        StoreError: the database failed. Events that it did not mark as delivered are delivered again after the lease.
    """
    delivered, refused = 0, list[_Handed]()
    retried = partial(without_conflict, sleep=sleep, jitter=jitter)
    claim = partial(store.claim_events, limit=PAGE, lease=settings.lease)
    while handlers and not is_over() and (page := retried(claim)):
        give_up = monotonic() + SHARE * settings.lease
        hand = partial(_hand, handlers=handlers, is_over=partial(_is_over, is_over, monotonic, give_up))
        handed = in_threads(hand, page, settings.events_parallel)
        done = [one.event for one in handed if one.is_done]
        again = [
            Postponed(one.event, _wait(one, jitter()), one.error_text, was_refused=one.error is not None)
            for one in handed
            if not one.is_done
        ]
        retried(partial(store.settle_events, done, again))
        delivered += len(done)
        refused += [one for one in handed if one.error]
    if delivered or refused:
        fields = about("delivered", delivered=delivered, refused=len(refused))
        logger.info("deliver delivered=%d refused=%d", delivered, len(refused), extra=fields)
    if refused:
        first = refused[0]
        raise DeliveryFailed(
            f"{len(refused)} event{'s' if len(refused) > 1 else ''} failed, {delivered} delivered; "
            f"the first failure is {first.event.kind} "
            f"{first.event.id} of order {ids.printable(first.event.order_id)}: {first.error_text}"
        ) from first.error
    return {"delivered": delivered}


@dataclass(frozen=True, slots=True)
class _Handed:
    """A claimed event, and what the handlers did with it: nothing, if there was no time left."""

    event: Event
    is_done: bool = False
    error: Exception | None = None

    @property
    def error_text(self) -> str | None:
        """The error as a text column can hold it; the earlier one if the handlers were not called."""
        if self.error is None:
            return self.event.error
        return storable(f"{type(self.error).__name__}: {self.error}")


def _is_over(is_over: Callable[[], bool], monotonic: Callable[[], float], give_up: float) -> bool:
    return is_over() or monotonic() >= give_up


def _hand(event: Event, *, handlers: Sequence[EventHook], is_over: Callable[[], bool]) -> _Handed:
    if is_over():
        return _Handed(event)
    try:
        for handler in handlers:
            call_hook(handler, event)
    except Exception as error:
        fields = about("event_refused", [event.order_id], event_id=event.id, kind=event.kind.value)
        shown = ids.printable(event.order_id)
        logger.exception("a handler failed for event %d of order %s", event.id, shown, extra=fields)
        return _Handed(event, error=error)
    return _Handed(event, is_done=True)


def in_threads(call: Callable[[T], R], page: Sequence[T], parallel: int) -> list[R]:
    """Return the results of a call with each event of a page, all of which belong to other orders."""
    if parallel == 1:
        return list(map(call, page))
    with ThreadPoolExecutor(parallel, thread_name_prefix="orders-events") as pool:
        return list(pool.map(call, page))


def storable(error: str) -> str:
    """Return an error as a text column can hold it."""
    return mask(error).encode("utf-8", "backslashreplace").decode().replace("\0", "\\0")[:MAX_ERROR_LENGTH]


def _wait(handed: _Handed, jitter: float) -> float:
    """Return the seconds until an event is delivered again."""
    return 0.0 if handed.error is None else backoff(handed.event.refusals + 1) * (1 + jitter / 2)


def prune(store: OrderStore, settings: Settings, *, keep_undelivered: bool, is_over: Callable[[], bool]) -> int:
    """Delete events that are older than ``ORDERS_EVENTS_RETENTION``, for which no endpoint waits; return how many.

    Args:
        store: the store with the events.
        settings: the settings.
        keep_undelivered: keep events that were not delivered yet.
        is_over: returns whether to stop; called after each transaction.

    Raises:
        StoreError: the database failed.
    """
    pruned, names = 0, [endpoint.name for endpoint in settings.webhooks]
    prune_some = partial(
        store.prune_events,
        older_than=settings.events_retention,
        keep_undelivered=keep_undelivered,
        keep_for=names,
        limit=PRUNED,
    )
    while not is_over():
        some = prune_some()
        pruned += some
        if some < PRUNED:
            break
    return pruned
