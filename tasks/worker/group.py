"""Run one attempt for the messages of a group, in a process or thread of the pool.

The task of the first message runs the attempt; the other tasks return their part of its results. Each message stays a
Celery task: Celery traces the first one, those that fail, and all of them if signals have receivers.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from billiard.einfo import ExceptionInfo
from celery import signals
from celery.app.trace import trace_task_ret

import orders
from orders import tracing
from orders.errors import OrdersError
from orders.schedule import Lease
from tasks.worker.clock import LEAD

Message: TypeAlias = tuple[str, Sequence[str], tuple[Sequence[str], Mapping[str, Any], Any], dict[str, Any]]
"""Task id, order ids, body and headers of a message: plain data that can be sent to another process."""

Outcome: TypeAlias = tuple[int, Any, float]
"""The argument of Celery's `Request.on_success`: whether the task failed, result or `ExceptionInfo`, seconds."""

Outcomes: TypeAlias = list[Outcome | None]
"""Of each message; None if its task must run alone."""

_thread, _never = threading.local(), threading.Event()


class Group:
    """One attempt for the orders of several messages.

    Args:
        order_ids: the orders of all messages.
        lease: the lease of all messages.
        is_alone: whether nothing else runs in this process. If so, orders that were tried before are started too.
    """

    def __init__(self, order_ids: Sequence[str], lease: Lease, *, is_alone: bool) -> None:
        self._error: BaseException | None = None
        self._has_run = False
        expiry = orders.current()
        self._attempt = expiry.attempt(lease)
        try:
            expiry.ownership.check_once()
            self._attempt.start(order_ids, only_new=not is_alone)
        except Exception as error:  # noqa: BLE001 - raised in each task; a thread pool would lose it here
            self._error = error

    def is_for(self, order_ids: Sequence[str]) -> bool:
        """Return False if the attempt left out one of these orders because it was tried before."""
        return self._attempt.tried_before.isdisjoint(order_ids)

    def end(self, order_ids: Sequence[str]) -> dict[str, int]:
        """Return the results of one message's orders. The first call runs the attempt."""
        if self._has_run:
            tracing.link(self._attempt.span)  # recorded in the trace of the first task
        elif not self._error:
            self._has_run = True
            try:
                self._attempt.run()
            except BaseException as error:
                self._error = error
                raise
        if self._error:
            raise self._error.anew() if isinstance(self._error, OrdersError) else self._error
        return self._attempt.end(order_ids)


def current() -> Group | None:
    """Return the group that this thread runs; None if a task was called outside of a group."""
    return getattr(_thread, "group", None)


def run(
    name: str, lease: Lease, messages: Sequence[Message], *, is_alone: bool, due: float
) -> Outcomes | ExceptionInfo:
    """Run the tasks of several messages of a lease; return each outcome, None if the task must run alone.

    If Celery itself raises, return its error: a pool of threads would drop it, and the attempt would seem to run on.

    Args:
        name: the name of the task.
        lease: the lease of all messages.
        messages: the messages.
        is_alone: see `Group`.
        due: when the last of the orders is due, as Unix time by this host's clock.
    """
    started_at, is_traced = time.monotonic(), True  # Celery always traces the first task
    outcomes: Outcomes = []
    try:
        group = Group([order_id for _, order_ids, *_ in messages for order_id in order_ids], lease, is_alone=is_alone)
        _thread.group = group
        if (wait := due - time.time()) > 0:
            _never.wait(min(wait, LEAD))
        for task_id, order_ids, body, headers in messages:
            outcome = None
            if group.is_for(order_ids):
                outcome = None if is_traced else _end(group, order_ids, started_at)
                outcome = outcome or trace_task_ret(name, task_id, headers, body, None, None)
                is_traced = _has_receivers()
            outcomes.append(outcome)
    except Exception:  # noqa: BLE001 - in the log and in Flower, by `on_failure` of each request
        return ExceptionInfo()
    finally:
        _thread.group = None
    return outcomes


def _end(group: Group, order_ids: Sequence[str], started_at: float) -> Outcome | None:
    """Return the outcome of a message without Celery's tracing; None if it failed, so that Celery traces it."""
    try:
        return 0, repr(group.end(order_ids)), time.monotonic() - started_at
    except Exception:  # noqa: BLE001 - raised again in the task
        return None


def _has_receivers() -> bool:
    """Return whether signals of running tasks have receivers."""
    return bool(signals.task_prerun.receivers or signals.task_postrun.receivers or signals.task_success.receivers)
