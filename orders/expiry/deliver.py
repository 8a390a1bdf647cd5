"""Delivering events: from the outbox to the shop's handlers, at least once, and in order for each order.

An event is claimed for the length of a lease, as an order is: if the process dies, another delivers it again when
that has run out. Only an order's oldest undelivered event can be claimed, so one that is refused holds up those
behind it, and no other order.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from orders import ids
from orders.config import mask
from orders.errors import DeliveryFailed
from orders.events import Event
from orders.expiry.dispositions import backoff
from orders.hooks import EventHook
from orders.logs import about
from orders.store import OrderStore, Postponed, without_conflict

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

PAGE = 100
"""Events that are claimed at a time: the most that are delivered twice if a process is killed."""

SHARE = 0.5
"""The part of its lease in which a page must be delivered; what is left of it then is given back."""

PRUNED = 1000
"""Events that are deleted in one transaction."""


TOLD = 1000
"""Characters of an error that are kept."""


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
    """Give waiting events to all handlers, until none is left.

    Without handlers nothing happens: what waits is kept for those of another process, or for the retention.

    Args:
        store: has the events.
        handlers: are called with each.
        settings: the settings.
        is_over: tells, after each event, whether to stop.
        sleep: waits for seconds.
        jitter: returns a number from 0 to 1, by which retries are spread.
        monotonic: seconds from any beginning.

    Returns:
        How many were "delivered".

    Raises:
        DeliveryFailed: a handler raised. Those events are tried again later; all others were delivered.
        StoreError: the database failed. What it has not noted is delivered again when the lease has run out.
    """
    delivered, refused = 0, list[_Handed]()
    retried = partial(without_conflict, sleep=sleep, jitter=jitter)
    claim = partial(store.claim_events, limit=PAGE, lease=settings.lease)
    while handlers and not is_over() and (page := retried(claim)):
        give_up = monotonic() + SHARE * settings.lease
        hand = partial(_hand, handlers=handlers, is_over=partial(_is_over, is_over, monotonic, give_up))
        handed = _map(hand, page, settings.events_parallel)
        done = [one.event for one in handed if one.is_done]
        again = [
            Postponed(one.event, _wait(one, jitter()), one.told, was_refused=one.error is not None)
            for one in handed
            if not one.is_done
        ]
        retried(partial(store.settle_events, done, again))
        delivered += len(done)
        refused += [one for one in handed if one.error]
    if delivered or refused:
        told = about("delivered", delivered=delivered, refused=len(refused))
        logger.info("deliver delivered=%d refused=%d", delivered, len(refused), extra=told)
    if refused:
        first = refused[0]
        raise DeliveryFailed(
            f"{len(refused)} events were refused, {delivered} delivered; the first is {first.event.kind} "
            f"{first.event.id} of the order {ids.printable(first.event.order_id)}: {first.told}"
        ) from first.error
    return {"delivered": delivered}


@dataclass(frozen=True, slots=True)
class _Handed:
    """An event that the handlers were given, or were not."""

    event: Event
    is_done: bool = False
    error: Exception | None = None

    @property
    def told(self) -> str | None:
        if self.error is None:
            return self.event.error
        text = f"{type(self.error).__name__}: {self.error}"
        as_unicode = mask(text).encode("utf-8", "backslashreplace").decode()
        return as_unicode.replace("\0", "\\0")[:TOLD]  # as any column of text can hold it


def _is_over(is_over: Callable[[], bool], monotonic: Callable[[], float], give_up: float) -> bool:
    return is_over() or monotonic() >= give_up


def _hand(event: Event, *, handlers: Sequence[EventHook], is_over: Callable[[], bool]) -> _Handed:
    if is_over():
        return _Handed(event)
    try:
        for handler in handlers:
            handler(event)
    except Exception as error:
        told = about("event_refused", [event.order_id], event_id=event.id, kind=event.kind.value)
        named = ids.printable(event.order_id)
        logger.exception("a handler refused the event %d of the order %s", event.id, named, extra=told)
        return _Handed(event, error=error)
    return _Handed(event, is_done=True)


def _map(hand: Callable[[Event], _Handed], page: Sequence[Event], parallel: int) -> list[_Handed]:
    """Hand out a page, in which no two events are of one order."""
    if parallel == 1:
        return list(map(hand, page))
    with ThreadPoolExecutor(parallel, thread_name_prefix="orders-events") as pool:
        return list(pool.map(hand, page))


def _wait(handed: _Handed, jitter: float) -> float:
    """Return the seconds until an event is tried again."""
    return 0.0 if handed.error is None else backoff(handed.event.refusals + 1) * (1 + jitter / 2)


def prune(store: OrderStore, settings: Settings, *, keep_undelivered: bool, is_over: Callable[[], bool]) -> int:
    """Delete events that are older than ``ORDERS_EVENTS_RETENTION``; return how many.

    Args:
        store: has the events.
        settings: the settings.
        keep_undelivered: whether those stay that no handler has had.
        is_over: tells, after each transaction, whether to stop.

    Raises:
        StoreError: the database failed.
    """
    pruned = 0
    while not is_over():
        some = store.prune_events(older_than=settings.events_retention, keep_undelivered=keep_undelivered, limit=PRUNED)
        pruned += some
        if some < PRUNED:
            break
    return pruned
