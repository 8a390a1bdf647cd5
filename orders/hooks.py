"""What a shop adds: functions of its own, each called in the one place that it is for.

============================ ================================================ ==================================
decorator                    called                                           with
============================ ================================================ ==================================
``@orders.on_expire``        in the transaction that expires orders           its session, their ids
``@orders.on_late_payment``  in the transaction of a payment that is too late its session, the id → True to revive
``@orders.guard``            before an order is expired, in no transaction    the id → an `Answer`
``@orders.on_event``         after the commit, by a task of its own           the `orders.events.Event`
``@orders.deadline_rule``    when an order is scheduled without a deadline    the id, the caller's context
============================ ================================================ ==================================

In Django the first argument is no session but the alias of the database, for ``Model.objects.using(alias)``.

``ORDERS_HOOKS`` names the modules that they stand in; every process that pays, checks or expires imports them. Django
imports ``order_hooks.py`` of every installed app.
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
    """What a payment gateway says of an order."""

    PAID = "paid"
    """It was paid: the order is marked paid instead of being expired."""
    UNPAID = "unpaid"
    """It was not, and will not be: the order may be expired."""
    UNKNOWN = "unknown"
    """It is being paid, or the gateway cannot tell: ask again later."""


# In Django, hooks are given the alias of the database in place of a session: ``objects.using(alias)``.
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
    """The functions of one shop. Those of a process stand in `orders.api`."""

    def __init__(self) -> None:
        self.expire_hooks: list[ExpireHook] = []
        self.event_hooks: list[EventHook] = []
        self.late_payment_hook: LatePaymentHook | None = None
        self.guard_hook: GuardHook | None = None
        self.rule: DeadlineRule | None = None

    def on_expire(self, function: ExpireHookT) -> ExpireHookT:
        """Call this in the transaction that expires orders: to give back stock, coupons, points.

        It is given an SQLAlchemy session in that transaction, and the ids of the orders, one or a batch, as the id
        column holds them. What it writes commits with the change of state, or not at all; so it happens once. If it
        raises, none of the orders is expired: each is tried by itself, and one that fails again is tried later.
        It must not commit, should lock rows in the ascending order of their keys, and is called by several threads
        at a time: what it shares must be fit for that.
        """
        if not any(_is_same(function, registered) for registered in self.expire_hooks):
            self.expire_hooks.append(function)
        return function

    def on_late_payment(self, function: LatePaymentHookT) -> LatePaymentHookT:
        """Ask this whether an expired order that is paid now may be revived.

        It is given the session of the payment's transaction and the order's id, as the id column holds it, while
        the order's row is locked. If it takes the stock again and returns True, the order is paid, and the payment
        is accepted. If it returns False, what it wrote is undone, and the payment is too late.

        Raises:
            ConfigError: there is one already.
        """
        self.late_payment_hook = _only("on_late_payment", self.late_payment_hook, function)
        return function

    def guard(self, function: GuardHookT) -> GuardHookT:
        """Ask this of each order before it is expired: the payment gateway may know more than the database.

        It is given the id as text and returns an `Answer`. It runs in no transaction, in a thread of its own, and
        beside others. If it raises, or gives no answer within ``ORDERS_GUARD_TIMEOUT``, the order waits, and it is
        asked again.

        Raises:
            ConfigError: there is one already.
        """
        self.guard_hook = _only("guard", self.guard_hook, function)
        return function

    def on_event(self, function: EventHookT) -> EventHookT:
        """Call this with each event, after its commit, in the task ``orders.deliver``.

        At least once, and in their order for each order of the shop. If it raises, the event is delivered again
        later, to all handlers, and the order's later events wait for it.
        """
        if not any(_is_same(function, registered) for registered in self.event_hooks):
            self.event_hooks.append(function)
        return function

    def deadline_rule(self, function: DeadlineRuleT) -> DeadlineRuleT:
        """Ask this for the deadline of an order that is given none.

        It is given the id as text and the *context* of the call, a mapping. It returns an aware datetime, a
        timedelta or seconds from now; None for ``ORDERS_TIMEOUT``.

        Raises:
            ConfigError: there is one already.
        """
        self.rule = _only("deadline_rule", self.rule, function)
        return function


def load(names: Sequence[str]) -> None:
    """Import the modules that ``ORDERS_HOOKS`` names; they may stand in the working directory.

    Raises:
        ConfigError: one of them cannot be imported.
    """
    if names and "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # which the commands `celery` and `orders` leave out
    for name in names:
        try:
            import_module(name)
        except Exception as error:
            raise ConfigError(
                f"ORDERS_HOOKS names {name!r}, and importing it failed: {type(error).__name__}: {error}"
            ) from error


def _only(decorator: str, registered: HookT | None, function: HookT) -> HookT:
    if registered is not None and not _is_same(registered, function):
        raise ConfigError(
            f"@orders.{decorator} is {_name(registered)} already; accepted is one function, so {_name(function)} is not"
        )
    return function


def _is_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Tell whether two functions are one: its module may have been imported twice, under two names."""
    return one is other or (_place(one) is not None and _place(one) == _place(other))


def _place(function: Callable[..., Any]) -> tuple[str, int, str] | None:
    """Return where a function of a module stands; None for what is made while the program runs."""
    code, name = getattr(function, "__code__", None), getattr(function, "__qualname__", "<locals>")
    return None if code is None or "<locals>" in name else (realpath(code.co_filename), code.co_firstlineno, name)


def _name(function: Callable[..., Any]) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
