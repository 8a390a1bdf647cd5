"""Post events to the endpoints in ``ORDERS_WEBHOOK_URL``: at least once, and in order for each order and endpoint.

Each endpoint has its own thread and its own progress in the database, so that none waits for another one or for the
shop's handlers, and these for none.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from threading import Event as Flag
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from orders import ids
from orders.clock import Clock
from orders.config import Endpoint
from orders.errors import ConfigError
from orders.events import Event
from orders.expiry.deliver import in_threads, storable
from orders.expiry.dispositions import backoff
from orders.logs import about
from orders.store import Delivery, OrderStore, Rest, Unsent, without_conflict

if TYPE_CHECKING:
    from orders.config import Settings
    from orders.webhooks import Message, Response, Sender

T = TypeVar("T")

ToMessage: TypeAlias = "Callable[[Event, str], Message]"

logger = logging.getLogger(__name__)

WAITS = (5.0, 300.0, 1800.0, 7200.0, 18_000.0, 36_000.0, 50_400.0, 72_000.0, 86_400.0)
"""Seconds between two tries of a delivery, as the specification suggests. After the last one, in the fourth day, it
becomes a dead letter."""

FIRST_REST, LONGEST_REST = 5.0, 300.0
"""Seconds for which an endpoint that cannot be reached gets nothing: after the first failure in a row, and the most."""

LEASE = 4
"""For how many time-outs of one request a page of deliveries is leased; half of that is for its last request."""

PAGE = 100
"""Deliveries that are claimed at a time: the most that are posted twice if a process is killed."""

FANNED = 1000
"""Deliveries that are added in one transaction."""

LOOK_BACK = 600.0
"""How many seconds a transaction may be open after it has written an event, to be seen by the next run."""

LONG_LOOK_BACK = 7200.0
"""The same, to be seen when old events are deleted, once an hour."""


@dataclass(frozen=True, slots=True)
class Round:
    """One run of the task ``orders.deliver``, as far as webhooks are concerned.

    Args:
        store: the store with the events.
        settings: the settings, with endpoints.
        clock: tells the time of a try.
        is_over: returns whether to stop; called after each delivery.
        sleep: sleeps for a number of seconds.
        jitter: returns a random number from 0 to 1, to spread retries.
        monotonic: a monotonic clock, in seconds.
    """

    store: OrderStore
    settings: Settings
    clock: Clock
    is_over: Callable[[], bool]
    sleep: Callable[[float], None]
    jitter: Callable[[], float]
    monotonic: Callable[[], float] = time.monotonic

    def beside(self, work: Callable[[], dict[str, int]]) -> dict[str, int]:
        """Post to all endpoints, each in a thread of its own, while *work* runs in this thread.

        Returns:
            What *work* returns, and the number of events "posted".

        Raises:
            Exception: what *work* raises.
            ConfigError: the extra ``webhooks`` is not installed.
            StoreError: the database failed. What it did not mark as delivered is posted again after its lease.
        """
        if not self.settings.webhooks:
            return work()
        post = self.store.transactions.in_thread(self._post_to)
        with ThreadPoolExecutor(len(self.settings.webhooks), thread_name_prefix="orders-webhooks") as pool:
            running = [pool.submit(post, endpoint) for endpoint in self.settings.webhooks]
            done = work()
        return {**done, "posted": sum(each.result() for each in running)}

    def look_back(self) -> None:
        """Add the deliveries of events whose transactions were open for longer than `LOOK_BACK`."""
        for endpoint in self.settings.webhooks:
            self._fan_out(endpoint, LONG_LOOK_BACK)

    def _fan_out(self, endpoint: Endpoint, look_back: float) -> None:
        add = partial(self.store.deliveries.fan_out, endpoint.name, look_back=look_back, limit=FANNED)
        while not self.is_over() and self._retried(add) == FANNED:
            pass

    def _retried(self, call: Callable[[], T]) -> T:
        return without_conflict(call, sleep=self.sleep, jitter=self.jitter)

    def _post_to(self, endpoint: Endpoint) -> int:
        """Post what is waiting for an endpoint, until nothing is left or it cannot be reached; return how much."""
        tools = webhook_tools()
        self.store.identity()  # a part of the ids of messages, which it makes if there is none
        self._fan_out(endpoint, LOOK_BACK)
        name, deliveries, posted, retried = endpoint.name, self.store.deliveries, 0, self._retried
        lease = LEASE * self.settings.webhook_timeout
        claim = partial(deliveries.claim, name, limit=PAGE, lease=lease)
        with tools.Sender(endpoint, self.settings, clock=self.clock) as sender:
            while not self.is_over() and (page := retried(claim)):
                try_one = _Page(self, sender, tools.message_of, self.monotonic() + lease / 2).try_one
                tries = in_threads(try_one, page, self.settings.events_parallel)
                made = [one.delivery.event.id for one in tries if one.is_made]
                rest = next((found for one in tries if (found := self._rest(one))), None)
                unsent = [self._unsent(one) for one in tries if not one.is_made]
                retried(partial(deliveries.settle, name, made, unsent, rest))
                self._report(endpoint, tries, unsent)
                posted += len(made)
                if rest:
                    break
        if posted:
            extra = about("posted", endpoint=name, posted=posted)
            logger.info("webhook %s: %d events posted", name, posted, extra=extra)
        return posted

    def _unsent(self, one: _Try) -> Unsent:
        event_id, refusals = one.delivery.event.id, one.delivery.refusals
        if one.response is None or one.response.is_gone:
            return Unsent(event_id, 0.0)
        wait = WAITS[refusals] * (1 + self.jitter() / 2) if refusals < len(WAITS) else None
        return Unsent(event_id, wait, storable(one.response.error))

    def _rest(self, one: _Try) -> Rest | None:
        """Return the rest of an endpoint after a try; None if it needs none."""
        response = one.response
        if response is None or not (response.is_busy or response.is_gone):
            return None
        if response.is_gone:
            return Rest(None, storable(response.error))

        def seconds(number: int) -> float:
            return max(backoff(number, FIRST_REST, LONGEST_REST) * (1 + self.jitter() / 2), response.retry_after)

        return Rest(seconds, storable(response.error))

    def _report(self, endpoint: Endpoint, tries: Sequence[_Try], unsent: Sequence[Unsent]) -> None:
        """Log what has failed, once for each endpoint and page."""
        dead = sum(each.seconds is None for each in unsent)
        failed = [one for one in tries if one.response and not one.is_made]
        if not failed:
            return
        first, error = failed[0].delivery.event, storable(failed[0].error)
        message = "webhook %s: %d of %d events failed, %d are dead letters now; the first is %s %d of order %s: %s"
        numbers = {"refused": len(failed), "dead": dead}
        fields = about("webhook_refused", [first.order_id], endpoint=endpoint.name, error=error, **numbers)
        shown = first.kind.value, first.id, ids.printable(first.order_id), error
        logger.warning(message, endpoint.name, len(failed), len(tries), dead, *shown, extra=fields)


@dataclass(frozen=True, slots=True)
class _Try:
    """A claimed delivery, and what became of it: nothing, if there was no time left or the endpoint was to rest."""

    delivery: Delivery
    response: Response | None = None

    @property
    def is_made(self) -> bool:
        return self.response is not None and self.response.is_success

    @property
    def error(self) -> str:
        return self.response.error if self.response else ""


class _Page:
    """Posts deliveries, each of another order, until the endpoint is to rest or there is no time left."""

    def __init__(self, run: Round, sender: Sender, message_of: ToMessage, give_up: float) -> None:
        self._run = run
        self._sender = sender
        self._message_of = message_of
        self._give_up = give_up
        self._rests = Flag()

    def try_one(self, delivery: Delivery) -> _Try:
        if self._rests.is_set() or self._run.is_over() or self._run.monotonic() >= self._give_up:
            return _Try(delivery)
        response = self._sender.send(self._message_of(delivery.event, delivery.message_id))
        if response.is_busy or response.is_gone:
            self._rests.set()
        return _Try(delivery, response)


class Tools(NamedTuple):
    """What `orders.webhooks` exports, which needs an extra."""

    Sender: type[Sender]
    message_of: ToMessage
    trial: Callable[[datetime], Message]


def webhook_tools() -> Tools:
    """Return what posts, and what makes messages.

    Raises:
        ConfigError: the extra ``webhooks`` is not installed.
    """
    try:
        from orders.webhooks import Sender, message_of, trial  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigError(
            "ORDERS_WEBHOOK_URL needs httpcore and standardwebhooks: install order-expiry[webhooks]"
        ) from error
    return Tools(Sender, message_of, trial)
