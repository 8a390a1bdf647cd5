"""What a pool does with messages that came together: one attempt for all of them.

The first message's task makes the attempt, for all; the others have their part of how it ended. Each is a task of its
own all the same: Celery traces those that fail, and all of them if somebody listens (a result backend does not: what
asks for a result comes alone).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from celery import signals
from celery.app.trace import trace_task_ret

import orders
from orders import tracing
from orders.attempt import Attempt
from orders.entries import Lease
from orders.errors import OrdersError

Outcome: TypeAlias = tuple[int, Any, float]
"""How a task ended, as Celery's requests take it: whether it failed, its result or `ExceptionInfo`, its seconds."""

_here = threading.local()


class Message(NamedTuple):
    """A message of ``orders.expire``, as plain data: it may go to another process."""

    id: str
    order_ids: Sequence[str]
    body: tuple[Sequence[str], Mapping[str, Any], Any]
    """Arguments, keyword arguments, and what Celery embeds beside them."""
    headers: dict[str, Any]


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
        self._attempt: Attempt | None = None
        try:
            self._attempt = orders.current().attempt(lease)
            self._attempt.start(order_ids, only_new=not is_alone)
        except Exception as error:  # noqa: BLE001 - it is raised for each message
            self._error = error

    def is_for(self, order_ids: Sequence[str]) -> bool:
        """Tell whether the attempt is for these: not for what was tried before, unless it is alone."""
        return self._attempt is None or self._attempt.tried_before.isdisjoint(order_ids)

    def end(self, order_ids: Sequence[str]) -> dict[str, int]:
        """Return how it ended for the orders of one message; make the attempt if that is the first one."""
        if self._attempt and self._has_run:
            tracing.link(self._attempt.span)  # which is recorded in the trace of the first
        elif self._attempt and not self._error:
            self._has_run = True
            try:
                orders.current().run(self._attempt)
            except BaseException as error:
                self._error = error
                raise
        if isinstance(self._error, OrdersError):
            raise self._error.anew()
        if self._error or not self._attempt:
            raise self._error or AssertionError
        return self._attempt.end(order_ids)

    @contextmanager
    def here(self) -> Iterator[None]:
        """Have the tasks of this thread belong to this group."""
        _here.group = self
        try:
            yield
        finally:
            _here.group = None


def current() -> Group | None:
    """Return the group that this thread works for; None if a task was called by itself."""
    return getattr(_here, "group", None)


def run(name: str, lease: Lease, messages: Sequence[Message], is_alone: bool) -> list[Outcome | None]:  # noqa: FBT001 - billiard passes no keywords
    """Do what several messages say; return how each ended, None if it is to be done alone.

    Args:
        name: of the task.
        lease: the one of all messages.
        messages: what there is to do.
        is_alone: see `Group`.
    """
    began = time.monotonic()
    group = Group([order_id for message in messages for order_id in message.order_ids], lease, is_alone=is_alone)
    outcomes: list[Outcome | None] = []
    is_traced = True  # the first one is
    with group.here():
        for message in messages:
            if not group.is_for(message.order_ids):
                outcomes.append(None)
                continue
            outcomes.append(_trace(name, message) if is_traced else _end(group, name, message, began))
            is_traced = _is_heard()
    return outcomes


def _end(group: Group, name: str, message: Message, began: float) -> Outcome:
    """Return how it ended for a message, without Celery; with it if the message failed."""
    try:
        ended = group.end(message.order_ids)
    except Exception:  # noqa: BLE001 - raised again, in the task
        return _trace(name, message)
    return 0, repr(ended), time.monotonic() - began


def _trace(name: str, message: Message) -> Outcome:
    outcome: Outcome = trace_task_ret(name, message.id, message.headers, message.body, None, None)
    return outcome


def _is_heard() -> bool:
    """Tell whether somebody listens to what Celery tells of tasks that run."""
    return bool(signals.task_prerun.receivers or signals.task_postrun.receivers or signals.task_success.receivers)
