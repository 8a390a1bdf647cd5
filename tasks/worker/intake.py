"""Receive messages of ``orders.expire`` in bulk, and run one attempt for all messages of a lease.

Celery calls its pool once per message. Here requests wait until the event loop has read all available messages; then
one call of the pool handles those of a lease. Messages that arrive during the call are the next group. Databases write
their logs like this and call it group commit (DeWitt et al., "Implementation techniques for main memory database
systems", 1984). Each request stays a Celery request: Celery sends its events, counts it, lists it and revokes it.

Messages that were tried before run alone in a process. So an order that kills its process affects no other order, and
no other order's attempts are counted.
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Hashable, Sequence
from functools import partial
from typing import Any

from billiard.einfo import ExceptionInfo
from celery import bootsteps
from celery.worker import state
from kombu.utils.json import loads

import orders
from orders.errors import InvalidMessage
from orders.logs import about
from orders.schedule import CHUNK, Lease
from tasks.messages import parse_claim
from tasks.worker import group

logger = logging.getLogger(__name__)

LANES = 4
"""Concurrent attempts in the threads of a worker: one may wait for a locked row, or for the guard."""

FEW = 32
"""Messages in the first attempt, and the minimum after slow ones. With a guard it is ``ORDERS_GUARD_PARALLEL``."""

LONG = 0.5
"""Seconds after which an attempt is slow: the next has half as many messages, else up to 4 times as many."""

MOST_TIMERS = 100_000


class Intake(bootsteps.StartStopStep):
    """Collects the requests of ``orders.expire``, and hands many of them to the pool at a time."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._consumer = consumer
        self._pass_on = consumer.on_task_request
        consumer.on_task_request = self.receive
        self._waiting: dict[Hashable, deque[Any]] = {}
        """By lease, or by task id if a message is a batch, which is large enough for an attempt of its own."""
        self._held = 0
        """The number of waiting requests."""
        self._alone: deque[Any] = deque()
        """Requests that the pool has accepted, and whose orders must run alone."""
        self._is_alone = False
        """Whether one of them is running."""
        self._running = 0
        """The number of running attempts."""
        self._ended: deque[tuple[Sequence[Any], int, float]] = deque()
        """Of attempts that have ended: requests that must run alone, how many were settled, seconds. Threads add."""
        self._is_open = self._is_asking = self._is_firing = False

    def start(self, consumer: Any) -> None:
        """Start to collect; called by Celery when the worker consumes."""
        guard = orders.current().guard
        self._few = self._most = orders.current().settings.guard_parallel if guard else FEW
        self._is_open, self._is_asking = True, False
        if consumer.hub:
            consumer.hub.on_tick.add(self._flush)
        channel = consumer.task_consumer.channel
        if "BRPOP" in getattr(channel, "handlers", {}):
            self._take_in_bulk(channel, consumer.app.amqp.router.route({}, "orders.expire")["queue"].name)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Start no more attempts; called by Celery when the worker stops or has lost its connection.

        Waiting requests return to the queue. If the worker reconnects, they are handled instead.
        """
        self._is_open = False

    def _take_in_bulk(self, channel: Any, queue: str) -> None:
        """Patch a Redis channel: after a message from BRPOP, it reads as many more as the next attempt has room for."""
        read_one, can_consume = channel.handlers["BRPOP"], channel.qos.can_consume

        def read(**options: Any) -> Any:
            result = read_one(**options)  # raises Empty if there was no message
            room, prefetch = self._most - self._held, channel.qos.can_consume_max_estimate()
            number = room if prefetch is None else min(room, prefetch)
            if number > 0 and queue in channel.active_queues:
                for item in channel.client.rpop(queue, number) or ():  # BRPOP's connection is idle
                    # Only messages with types that JSON lacks need kombu's decoder, which takes twice as long.
                    message = loads(item) if b"__type__" in item else json.loads(item.decode())
                    channel.connection._deliver(message, queue)  # noqa: SLF001 - as kombu's BRPOP handler does
            return result

        channel.handlers["BRPOP"] = read
        channel.qos.can_consume = lambda: self._held < self._most and can_consume()

    def receive(self, request: Any) -> None:
        """Take a request from Celery's strategy, which has validated it, sent its event and waited for its ETA."""
        claim = self._claim(request)
        if claim is None:
            self._pass_on(request)
            return
        request.order_ids, request.lease = claim
        key: Hashable = request.lease if len(request.order_ids) == 1 else request.id
        self._waiting.setdefault(key, deque()).append(request)
        self._held += 1
        hub = self._consumer.hub
        if hub is None:
            self._flush()
        elif request.eta and not self._is_firing:
            # This is one of the ten timers that the event loop fires before it waits for up to a second: fire the rest.
            self._is_firing = True
            try:
                hub.fire_timers(max_timers=MOST_TIMERS, propagate=hub.propagate_errors)
            finally:
                self._is_firing = False

    def _claim(self, request: Any) -> tuple[Sequence[str], Lease] | None:
        """Return the order ids and the lease of a request; None if no sweep sent it, which leaves it to Celery."""
        if request.type != "orders.expire" or not request.ignore_result:
            return None
        args, kwargs, embed = request.message.payload
        if embed and any(embed.values()):
            return None
        try:
            return parse_claim(args, **{"shard": None, **kwargs})
        except (InvalidMessage, TypeError):
            return None

    def _flush(self) -> None:
        """Start attempts for waiting requests, as many as the pool can run."""
        self._take_ended()
        pool = self._consumer.pool
        if pool.uses_semaphore:  # prefork: its processes also run other tasks
            while self._is_open and not self._is_asking and self._may_start():
                self._is_asking = True
                self._consumer.controller.semaphore.acquire(self._start_in_process)
            return
        lanes = min(LANES, pool.num_processes)
        while self._is_open and self._running < lanes and self._may_start():
            self._start_attempt()

    def _may_start(self) -> bool:
        if self._alone or self._is_alone:
            return not self._running
        return bool(self._waiting)

    def _start_in_process(self) -> None:
        """Start an attempt in a free process."""
        self._is_asking = False
        if not (self._is_open and self._may_start() and self._start_attempt()):
            self._consumer.controller.semaphore.release()

    def _start_attempt(self) -> bool:
        """Start the next attempt in the pool; return whether there was one."""
        self._is_alone = is_alone = bool(self._alone)
        requests = [self._alone.popleft()] if is_alone else self._next_requests()
        if not requests:
            return False
        task = requests[0].task
        self._running += 1
        messages = [(each.id, each.order_ids, each.message.payload, each.request_dict) for each in requests]
        self._consumer.pool.apply_async(
            group.run,
            (task.name, requests[0].lease, messages),
            {
                "is_alone": is_alone or len(requests[0].order_ids) > 1,
                "due": max(request.due for request in requests),
            },
            accept_callback=None if is_alone else partial(_each, requests, "on_accepted"),
            callback=partial(self._done, requests, time.monotonic()),
            error_callback=partial(self._lost, requests),
            timeout_callback=partial(_each, requests, "on_timeout"),
            soft_timeout=task.soft_time_limit,
            timeout=task.time_limit,
            correlation_id=requests[0].id,
        )
        return True

    def _next_requests(self) -> list[Any]:
        """Return the requests of the next attempt: of one lease, without revoked and expired ones."""
        while self._waiting:
            key, waiting = next(iter(self._waiting.items()))
            requests = [waiting.popleft() for _ in range(min(len(waiting), self._most))]
            if not waiting:
                del self._waiting[key]
            self._held -= len(requests)
            if state.revoked or state.revoked_stamps or requests[0].maybe_expire():
                requests = [request for request in requests if not request.revoked()]
            if requests:
                return requests
        return []

    def _done(self, requests: Sequence[Any], started_at: float, outcomes: Any) -> None:
        if isinstance(outcomes, ExceptionInfo):
            self._lost(requests, outcomes)
            return
        pairs = list(zip(requests, outcomes, strict=True))
        again = [request for request, outcome in pairs if not outcome]
        try:
            for request, outcome in pairs:
                if outcome:
                    _tell(request, "on_success", outcome)
        finally:  # start the next attempt even if the task asked its thread to exit
            self._end(again, len(requests), time.monotonic() - started_at)

    def _lost(self, requests: Sequence[Any], error: Any) -> None:
        """Fail all requests of an attempt whose process has died, or which Celery could not run."""
        try:
            _each(requests, "on_failure", error)
        finally:
            self._end([], 0, 0.0)

    def _end(self, again: Sequence[Any], number: int, seconds: float) -> None:
        """Tell the event loop that an attempt has ended.

        The call is lost if another callback of the loop fails, as acknowledgements do when the connection is lost. Then
        the next turn of the loop looks.
        """
        self._ended.append((again, number, seconds))
        self._consumer.call_soon(self._flush)

    def _take_ended(self) -> None:
        """Adjust the size of attempts to those that have ended."""
        while self._ended:
            again, number, seconds = self._ended.popleft()
            self._running -= 1
            self._is_alone = False
            self._alone.extend(again)
            if seconds > LONG:
                self._most = max(self._most // 2, self._few)
            elif number >= self._most:
                self._most = min(self._most * 4, CHUNK)


def _each(requests: Sequence[Any], method: str, *arguments: Any) -> None:
    """Call a method of each request with what the pool has reported about all of them."""
    for request in requests:
        _tell(request, method, *arguments)


def _tell(request: Any, method: str, *arguments: Any) -> None:
    """Call a method of a request, and log its error, for which a pool of threads would drop the whole attempt."""
    try:
        getattr(request, method)(*arguments)
    except Exception as error:
        extra = about("not_reported", error=str(error))
        logger.exception("cannot report what became of message %s", request.id, extra=extra)
