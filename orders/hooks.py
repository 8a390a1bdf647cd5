"""Hooks: functions of the shop that this package calls.

============================ ================================================ ==================================
decorator                    called                                           arguments
============================ ================================================ ==================================
``@orders.on_expire``        in the transaction that expires orders           its session, their ids
``@orders.on_late_payment``  in the transaction of a payment that is too late its session, the id → True to revive
``@orders.guard``            before an order is expired, outside transactions the id → an `Answer`
``@orders.on_event``         after the commit, in a separate task             the `orders.events.Event`
``@orders.deadline_rule``    when an order is scheduled without a deadline    the id, the caller's context
============================ ================================================ ==================================

In Django, the first argument is the database alias instead of a session, for ``Model.objects.using(alias)``.

Put your hooks in modules that ``ORDERS_HOOKS`` names: every process that pays, checks or expires orders imports them.
Django imports ``order_hooks.py`` of every installed app.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from importlib import import_module
from os.path import realpath
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sqlalchemy.orm import Session

from orders.errors import ConfigError
from orders.events import Event


class Answer(StrEnum):
    """What a payment gateway says about an order."""

    PAID = "paid"
    """The order was paid: it is marked as paid instead of expired."""
    UNPAID = "unpaid"
    """The order was not paid and will not be: it may be expired."""
    UNKNOWN = "unknown"
    """A payment is in progress, or the gateway does not know: the guard is asked again later."""


# Django passes the database alias instead of a session: ``objects.using(alias)``.
ExpireHook: TypeAlias = Callable[[Session, Sequence[Any]], object] | Callable[[str, Sequence[Any]], object]
LatePaymentHook: TypeAlias = Callable[[Session, Any], bool] | Callable[[str, Any], bool]
GuardHook: TypeAlias = Callable[[str], Answer]
EventHook: TypeAlias = Callable[[Event], object]
DeadlineRule: TypeAlias = Callable[[str, Mapping[str, Any]], datetime | timedelta | float | None]

ExpireHookT = TypeVar("ExpireHookT", bound=ExpireHook)
LatePaymentHookT = TypeVar("LatePaymentHookT", bound=LatePaymentHook)
GuardHookT = TypeVar("GuardHookT", bound=GuardHook)
EventHookT = TypeVar("EventHookT", bound=EventHook)
DeadlineRuleT = TypeVar("DeadlineRuleT", bound=DeadlineRule)
HookT = TypeVar("HookT", bound=Callable[..., Any])


class Hooks:
    """The hooks of one shop. Those of a process are in `orders.process`."""

    def __init__(self) -> None:
        self.expire_hooks: list[ExpireHook] = []
        self.event_hooks: list[EventHook] = []
        self.late_payment_hook: LatePaymentHook | None = None
        self.guard_hook: GuardHook | None = None
        self.rule: DeadlineRule | None = None

    def on_expire(self, function: ExpireHookT) -> ExpireHookT:
        """Call this in the transaction that expires orders, to release stock, coupons or points.

        The function gets an SQLAlchemy session in that transaction and a sequence of order ids, one or more, as the id
        column holds them. Its writes commit with the change of status or not at all, so they happen exactly once. If
        it raises, none of these orders is expired: each is tried on its own, and an order that fails again is tried
        later. It must not commit, must be thread-safe, and should lock rows in ascending order of their keys.
        """
        if not any(_is_same(function, registered) for registered in self.expire_hooks):
            self.expire_hooks.append(function)
        return function

    def on_late_payment(self, function: LatePaymentHookT) -> LatePaymentHookT:
        """Ask this whether to revive an expired order for which a payment has come.

        The function gets the session of the payment's transaction and the order's id, as the id column holds it, while
        the order's row is locked. If it reserves the stock again and returns True, the order is paid and the payment is
        accepted. If it returns False, its writes are rolled back and the payment is too late.

        Raises:
            ConfigError: another function is already registered.
        """
        self.late_payment_hook = _only("on_late_payment", self.late_payment_hook, function)
        return function

    def guard(self, function: GuardHookT) -> GuardHookT:
        """Ask this before an order is expired, because the payment gateway may know more than the database.

        The function gets the id as text and returns an `Answer`. It runs in a thread, outside any transaction, and may
        run several times in parallel. If it raises or does not answer within ``ORDERS_GUARD_TIMEOUT``, the order stays
        pending and the function is asked again later.

        Raises:
            ConfigError: another function is already registered.
        """
        self.guard_hook = _only("guard", self.guard_hook, function)
        return function

    def on_event(self, function: EventHookT) -> EventHookT:
        """Call this with each event after its commit, in the task ``orders.deliver``.

        Each event is delivered at least once, and the events of one order are delivered in sequence. If the function
        raises, the event is delivered again later, to all handlers, and later events of the same order wait for it.
        """
        if not any(_is_same(function, registered) for registered in self.event_hooks):
            self.event_hooks.append(function)
        return function

    def deadline_rule(self, function: DeadlineRuleT) -> DeadlineRuleT:
        """Ask this for the deadline of an order that is scheduled without one.

        The function gets the id as text and the *context* of the call, a mapping. It returns an aware datetime, or a
        timedelta or seconds from now, or None for ``ORDERS_TIMEOUT``.

        Raises:
            ConfigError: another function is already registered.
        """
        self.rule = _only("deadline_rule", self.rule, function)
        return function


def load(names: Sequence[str]) -> None:
    """Import the modules that ``ORDERS_HOOKS`` names, also from the working directory.

    Raises:
        ConfigError: a module cannot be imported.
    """
    if names and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # the commands `celery` and `orders` do not add it
    for name in names:
        try:
            import_module(name)
        except Exception as error:
            raise ConfigError(
                f"ORDERS_HOOKS names {name!r}, but importing it failed: {type(error).__name__}: {error}"
            ) from error


def _only(decorator: str, registered: HookT | None, function: HookT) -> HookT:
    if registered is not None and not _is_same(registered, function):
        raise ConfigError(
            f"@orders.{decorator} takes one function: {_name(registered)} is already registered, so {_name(function)} "
            "was rejected"
        )
    return function


def _is_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Return whether two functions are the same, even if their module was imported twice under different names."""
    return one is other or (_location(one) is not None and _location(one) == _location(other))


def _location(function: Callable[..., Any]) -> tuple[str, int, str] | None:
    """Return the file, line and name of a module-level function or a method; None for a function made at run time."""
    code, name = getattr(function, "__code__", None), getattr(function, "__qualname__", "<locals>")
    return None if code is None or "<locals>" in name else (realpath(code.co_filename), code.co_firstlineno, name)


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
