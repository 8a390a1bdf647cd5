"""What a pool does with messages that came together: one attempt for all of them.

The first message's task makes the attempt, for all; the others have their part of how it ended. Each is a task of its
own all the same: Celery traces those that fail, and all of them if somebody listens.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from celery import signals
from celery.app.trace import trace_task_ret

import orders
from orders import tracing
from orders.errors import OrdersError
from orders.schedule import Lease

Message: TypeAlias = tuple[str, Sequence[str], tuple[Sequence[str], Mapping[str, Any], Any], dict[str, Any]]
"""Id, order ids, body, and headers of a message: plain data, since it may go to another process."""

Outcome: TypeAlias = tuple[int, Any, float]
"""How a task ended, as Celery's requests take it: whether it failed, its result or `ExceptionInfo`, its seconds."""

_here = threading.local()


class Group:
    """One attempt for the orders of several messages.

    Args:
        order_ids: the orders of all of them.
        lease: the one that all of them are held by.
        is_alone: whether nothing else is under way in this process, so that orders may be in it that were tried before.
    """

    def __init__(self, order_ids: Sequence[str], lease: Lease, *, is_alone: bool) -> None:
        self._error: BaseException | None = None
        self._has_run = False
        self._attempt = orders.current().attempt(lease)
        try:
            self._attempt.start(order_ids, only_new=not is_alone)
        except Exception as error:  # noqa: BLE001 - raised in each task: what is raised here, no thread's pool would tell
            self._error = error

    def is_for(self, order_ids: Sequence[str]) -> bool:
        """Tell whether the attempt is for these: not for what was tried before, unless it is alone."""
        return self._attempt.tried_before.isdisjoint(order_ids)

    def end(self, order_ids: Sequence[str]) -> dict[str, int]:
        """Return how it ended for the orders of one message; make the attempt if that is the first one."""
        if self._has_run:
            tracing.link(self._attempt.span)  # which is recorded in the trace of the first
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
    """Return the group that this thread works for; None if a task was called by itself."""
    return getattr(_here, "group", None)


def run(name: str, lease: Lease, messages: Sequence[Message], *, is_alone: bool) -> list[Outcome | None]:
    """Do what several messages of a lease say; return how each ended, None if it is to be done alone.

    Args:
        name: of the task.
        lease: the one of all messages.
        messages: what there is to do.
        is_alone: see `Group`.
    """
    began, is_traced = time.monotonic(), True  # the first one is
    group = Group([order_id for _, order_ids, *_ in messages for order_id in order_ids], lease, is_alone=is_alone)
    outcomes: list[Outcome | None] = []
    _here.group = group
    try:
        for task_id, order_ids, body, headers in messages:
            outcome = None
            if group.is_for(order_ids):
                outcome = None if is_traced else _end(group, order_ids, began)
                outcome = outcome or trace_task_ret(name, task_id, headers, body, None, None)
                is_traced = _is_heard()
            outcomes.append(outcome)
    finally:
        _here.group = None
    return outcomes


def _end(group: Group, order_ids: Sequence[str], began: float) -> Outcome | None:
    """Return how it ended for a message, without Celery; None if it failed, which Celery is to see."""
    try:
        return 0, repr(group.end(order_ids)), time.monotonic() - began
    except Exception:  # noqa: BLE001 - it is raised again, in the task
        return None


def _is_heard() -> bool:
    """Tell whether somebody listens to what Celery tells of tasks that run."""
    return bool(signals.task_prerun.receivers or signals.task_postrun.receivers or signals.task_success.receivers)
