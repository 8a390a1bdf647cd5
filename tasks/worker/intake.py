"""How a worker takes messages of ``orders.expire``: in bulk, and one attempt for all that came together.

Celery has one call of its pool for each message. Here its requests wait until the event loop has read what there is,
and one call is for all of a lease: what comes meanwhile is the next. Databases do so with their logs, and call it group
commit (DeWitt et al., "Implementation techniques for main memory database systems", 1984). Each request remains one of
Celery's, which sends its events, counts it, lists it, and revokes it.

What was tried before is done alone: nothing else is under way in its process, so that an order that kills its process
harms no other, and is the only one that this is held against.
"""

from __future__ import annotations

import json
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
from orders.schedule import CHUNK, Lease
from tasks.messages import parse_claim
from tasks.worker import group

LANES = 4
"""Attempts at a time in the threads of a worker: one may wait for a row that a payment holds, or for the guard."""

FEW = 32
"""Messages in the first attempt, and in each if they take long; with a guard, as many as it is asked at a time."""

LONG = 0.5
"""Seconds after which an attempt has taken long: the next is for half as many messages, else for four times as many."""

MOST_TIMERS = 100_000


class Intake(bootsteps.StartStopStep):
    """Collects the requests of ``orders.expire`` and has the pool do many at a time."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:
        self._consumer = consumer
        self._pass_on = consumer.on_task_request
        consumer.on_task_request = self.receive
        self._waiting: dict[Hashable, deque[Any]] = {}
        """By lease, or by id if a message is a batch: that has company enough."""
        self._held = 0
        """How many requests wait."""
        self._alone: deque[Any] = deque()
        """Those that were begun, and are to be done alone."""
        self._is_alone = False
        """Whether one of them is under way."""
        self._under_way = 0
        self._is_open = self._is_asking = self._is_firing = False

    def start(self, consumer: Any) -> None:
        """Begin; called by Celery when the worker consumes."""
        guard = orders.current().guard
        self._few = self._most = orders.current().settings.guard_parallel if guard else FEW
        self._is_open, self._is_asking = True, False
        if consumer.hub:
            consumer.hub.on_tick.add(self._flush)
        channel = consumer.task_consumer.channel
        if "BRPOP" in getattr(channel, "handlers", {}):
            self._take_in_bulk(channel, consumer.app.amqp.router.route({}, "orders.expire")["queue"].name)

    def stop(self, consumer: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Begin nothing more; called by Celery when the worker stops or has lost its connection.

        What waits goes back to the queue or, if the connection comes back, is done.
        """
        self._is_open = False

    def _take_in_bulk(self, channel: Any, queue: str) -> None:
        """Have a channel of Redis, when it has read one message, read as many more as the next attempt may be for."""
        read_one, can_consume = channel.handlers["BRPOP"], channel.qos.can_consume

        def read(**options: Any) -> Any:
            answer = read_one(**options)  # raises Empty if BRPOP brought none
            room, prefetch = self._most - self._held, channel.qos.can_consume_max_estimate()
            number = room if prefetch is None else min(room, prefetch)
            if number > 0 and queue in channel.active_queues:
                for item in channel.client.rpop(queue, number) or ():  # (on BRPOP's connection, which is idle now)
                    # Only what is of no type of JSON's needs kombu's reader, which takes twice as long.
                    message = loads(item) if b"__type__" in item else json.loads(item.decode())
                    channel.connection._deliver(message, queue)  # noqa: SLF001 - as BRPOP's own is
            return answer

        channel.handlers["BRPOP"] = read
        channel.qos.can_consume = lambda: self._held < self._most and can_consume()

    def receive(self, request: Any) -> None:
        """Take a request from Celery's strategy, which has checked, announced and, until its eta, kept it."""
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
            # The loop fires ten timers, and then waits for up to a second: this is one of them.
            self._is_firing = True
            try:
                hub.fire_timers(max_timers=MOST_TIMERS, propagate=hub.propagate_errors)
            finally:
                self._is_firing = False

    def _claim(self, request: Any) -> tuple[Sequence[str], Lease] | None:
        """Return what a request is for; None if no sweep sent it, so that Celery does with it what it says."""
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
        """Have what waits begin, as far as the pool can take it."""
        pool = self._consumer.pool
        if pool.uses_semaphore:  # prefork: its processes are shared with whatever else there is
            while self._is_open and not self._is_asking and self._may_begin():
                self._is_asking = True
                self._consumer.controller.semaphore.acquire(self._begin_in_process)
            return
        lanes = min(LANES, pool.num_processes)
        while self._is_open and self._under_way < lanes and self._may_begin():
            self._begin()

    def _may_begin(self) -> bool:
        if self._alone or self._is_alone:
            return not self._under_way
        return bool(self._waiting)

    def _begin_in_process(self) -> None:
        """Begin in a process that is free."""
        self._is_asking = False
        if not (self._is_open and self._may_begin() and self._begin()):
            self._consumer.controller.semaphore.release()

    def _begin(self) -> bool:
        """Have the pool make the next attempt; tell whether there was one to make."""
        self._is_alone = is_alone = bool(self._alone)
        requests = [self._alone.popleft()] if is_alone else self._next()
        if not requests:
            return False
        task = requests[0].task
        self._under_way += 1
        messages = [(each.id, each.order_ids, each.message.payload, each.request_dict) for each in requests]
        self._consumer.pool.apply_async(
            group.run,
            (task.name, requests[0].lease, messages),
            {"is_alone": is_alone or len(requests[0].order_ids) > 1},
            accept_callback=None if is_alone else partial(_each, requests, "on_accepted"),
            callback=partial(self._done, requests, time.monotonic()),
            error_callback=partial(self._lost, requests),
            timeout_callback=partial(_each, requests, "on_timeout"),
            soft_timeout=task.soft_time_limit,
            timeout=task.time_limit,
            correlation_id=requests[0].id,
        )
        return True

    def _next(self) -> list[Any]:
        """Return the requests of the next attempt: of one lease, and none that was revoked or has become void."""
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

    def _done(self, requests: Sequence[Any], began: float, outcomes: Any) -> None:
        if isinstance(outcomes, ExceptionInfo):  # a thread that was told to exit
            self._lost(requests, outcomes)
            return
        ended = list(zip(requests, outcomes, strict=True))
        again = [request for request, outcome in ended if not outcome]
        try:
            for request, outcome in ended:
                if outcome:
                    request.on_success(outcome)
        finally:  # whatever a signal or a result makes of it, the next attempt begins
            self._consumer.call_soon(self._end, again, len(requests), time.monotonic() - began)

    def _lost(self, requests: Sequence[Any], error: Any) -> None:
        """Tell of each request that the process which did it has died."""
        try:
            _each(requests, "on_failure", error)
        finally:
            self._consumer.call_soon(self._end, [], 0, 0.0)

    def _end(self, again: Sequence[Any], number: int, seconds: float) -> None:
        """Go on after an attempt."""
        self._under_way -= 1
        self._is_alone = False
        self._alone.extend(again)
        if seconds > LONG:
            self._most = max(self._most // 2, self._few)
        elif number >= self._most:
            self._most = min(self._most * 4, CHUNK)
        self._flush()


def _each(requests: Sequence[Any], method: str, *arguments: Any) -> None:
    """Tell each request what the pool has told of all of them."""
    for request in requests:
        getattr(request, method)(*arguments)
