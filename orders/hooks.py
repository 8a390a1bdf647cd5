"""Hooks: functions of the shop that this package calls.

============================ ================================================ ==================================
decorator                    called                                           arguments
============================ ================================================ ==================================
``@orders.on_expire``        in the transaction that closes orders            its session, their ids
``@orders.on_late_payment``  in the transaction of a payment that is too late its session, the id → True to revive
``@orders.guard``            before an order is expired, outside transactions the id → an `Answer`
``@orders.on_event``         after the commit, in a separate task             the `orders.events.Event`
``@orders.deadline_rule``    when an order is scheduled without a deadline    the id, the caller's context
``@orders.condition``        before each statement that expires orders        the table → which rows may expire
============================ ================================================ ==================================

In Django, the first argument is the database alias instead of a session, for ``Model.objects.using(alias)``.

A hook is a plain function that can be called with these arguments: a decorator rejects anything else. Whoever calls a
hook calls it through `call_hook`, because a plain function, too, may return what still has to be awaited.

Put your hooks in modules that ``ORDERS_HOOKS`` names: every process that pays, checks or expires orders imports them.
Django imports ``order_hooks.py`` of every installed app.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from importlib import import_module
from os.path import realpath
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sqlalchemy.orm import Session

from orders.errors import ConfigError
from orders.events import Event
from orders.hook_checks import check, keywords_of, name_of


class Answer(StrEnum):
    """What a payment gateway says about an order."""

    PAID = "paid"
    """The order was paid: it is marked as paid instead of expired."""
    UNPAID = "unpaid"
    """The order was not paid and will not be: it may be expired."""
    UNKNOWN = "unknown"
    """A payment is in progress, or the gateway does not know: the guard is asked again later."""
    LATER = "later"
    """``Answer.LATER(until)``: the gateway will not decide before then, so the order's deadline moves there."""

    def __call__(self, until: datetime) -> Later:
        """Return the answer `LATER` with the new deadline, an aware datetime.

        Raises:
            TypeError: another answer was called.
        """
        if self is not Answer.LATER:
            raise TypeError(f"Answer.{self.name} takes no time: only Answer.LATER does")
        return Later(until)


@dataclass(frozen=True, slots=True)
class Later:
    """The answer `Answer.LATER`, with a time."""

    until: datetime
    """The deadline that the order gets, unless it has a later one."""


# Django passes the database alias instead of a session: ``objects.using(alias)``.
ExpireHook: TypeAlias = Callable[..., object]
"""``(session, order_ids)`` and, if it wants, ``reason`` and ``again`` by keyword; see `Hooks.on_expire`."""
LatePaymentHook: TypeAlias = Callable[[Session, Any], bool] | Callable[[str, Any], bool]
GuardHook: TypeAlias = Callable[[str], Answer | Later]
EventHook: TypeAlias = Callable[[Event], object]
DeadlineRule: TypeAlias = Callable[[str, Mapping[str, Any]], datetime | timedelta | float | None]
ConditionHook: TypeAlias = Callable[[Any], Any]

ExpireHookT = TypeVar("ExpireHookT", bound=ExpireHook)
LatePaymentHookT = TypeVar("LatePaymentHookT", bound=LatePaymentHook)
GuardHookT = TypeVar("GuardHookT", bound=GuardHook)
EventHookT = TypeVar("EventHookT", bound=EventHook)
DeadlineRuleT = TypeVar("DeadlineRuleT", bound=DeadlineRule)
ConditionHookT = TypeVar("ConditionHookT", bound=ConditionHook)
HookT = TypeVar("HookT", bound=Callable[..., Any])


class Hooks:
    """The hooks of one shop. Those of a process are in `orders.process`."""

    def __init__(self) -> None:
        self.expire_hooks: list[ExpireHook] = []
        self.event_hooks: list[EventHook] = []
        self.late_payment_hook: LatePaymentHook | None = None
        self.guard_hook: GuardHook | None = None
        self.rule: DeadlineRule | None = None
        self.condition_hook: ConditionHook | None = None

    def on_expire(self, function: ExpireHookT) -> ExpireHookT:
        """Call this in the transaction that expires or cancels orders, to release stock, coupons or points.

        The function gets an SQLAlchemy session in that transaction and a sequence of order ids, one or more, as the id
        column holds them. Its writes commit with the change of status or not at all, so they happen exactly once. If
        it raises, none of these orders is expired: each is tried on its own, and an order that fails again is tried
        later. It must not commit, must be thread-safe, and should lock rows in ascending order of their keys.

        A function with a parameter named ``reason`` also gets, by keyword, why the orders are closed: "expired", or
        what `orders.cancel` was given. With a parameter named ``again``, it also gets the set of those ids that were
        expired or cancelled before, as far as the events table knows: somebody has made them pending again.

        Raises:
            ConfigError: this is not a plain function that takes these arguments.
        """
        check("on_expire", function)
        if not any(_is_same(function, registered) for registered in self.expire_hooks):
            self.expire_hooks.append(function)
        return function

    def on_late_payment(self, function: LatePaymentHookT) -> LatePaymentHookT:
        """Ask this whether to revive an expired order for which a payment has come.

        The function gets the session of the payment's transaction and the order's id, as the id column holds it, while
        the order's row is locked. If it reserves the stock again and returns True, the order is paid and the payment is
        accepted. If it returns False or None, its writes are rolled back and the payment is too late. If it returns
        anything else, the call that reports the payment raises TypeError, and nothing has changed.

        Raises:
            ConfigError: another function is already registered, or this is not a plain function that takes these
                arguments.
        """
        check("on_late_payment", function)
        self.late_payment_hook = _only("on_late_payment", self.late_payment_hook, function)
        return function

    def guard(self, function: GuardHookT) -> GuardHookT:
        """Ask this before an order is expired, because the payment gateway may know more than the database.

        The function gets the id as text and returns an `Answer`. It runs in a thread, outside any transaction, and may
        run several times in parallel. If it raises or does not answer within ``ORDERS_GUARD_TIMEOUT``, the order stays
        pending and the function is asked again later.

        Raises:
            ConfigError: another function is already registered, or this is not a plain function that takes this
                argument.
        """
        check("guard", function)
        self.guard_hook = _only("guard", self.guard_hook, function)
        return function

    def on_event(self, function: EventHookT) -> EventHookT:
        """Call this with each event after its commit, in the task ``orders.deliver``.

        Each event is delivered at least once, and the events of one order are delivered in sequence. If the function
        raises, the event is delivered again later, to all handlers, and later events of the same order wait for it.

        Raises:
            ConfigError: this is not a plain function that takes this argument.
        """
        check("on_event", function)
        if not any(_is_same(function, registered) for registered in self.event_hooks):
            self.event_hooks.append(function)
        return function

    def deadline_rule(self, function: DeadlineRuleT) -> DeadlineRuleT:
        """Ask this for the deadline of an order that is scheduled without one.

        The function gets the id as text and the *context* of the call, a mapping. It returns an aware datetime, or a
        timedelta or seconds from now, or None for ``ORDERS_TIMEOUT``.

        Raises:
            ConfigError: another function is already registered, or this is not a plain function that takes these
                arguments.
        """
        check("deadline_rule", function)
        self.rule = _only("deadline_rule", self.rule, function)
        return function

    def condition(self, function: ConditionHookT) -> ConditionHookT:
        """Expire only rows for which this holds, besides being pending and due.

        The function gets the orders table as an SQLAlchemy table with all its columns, and returns an expression such
        as ``table.c.paid_at.is_(None)``; in Django it gets the model, and returns a ``Q`` or another condition. It is
        called for each statement, so it must be fast and must not query. ``ORDERS_CONDITION`` is the same as text. If
        the shop has both, both must hold.

        Raises:
            ConfigError: another function is already registered, or this is not a plain function that takes this
                argument.
        """
        check("condition", function)
        self.condition_hook = _only("condition", self.condition_hook, function)
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
        except Exception as error:  # noqa: BLE001 - a module of the shop may raise anything
            is_missing = isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}.")
            raise ConfigError(
                f"ORDERS_HOOKS names {name!r}, but importing it failed: {type(error).__name__}: {error}"
            ) from (None if is_missing else error)  # a traceback says where in the shop's module it is


def call_hook(hook: Callable[..., Any], *arguments: Any, **details: Any) -> Any:
    """Call a hook and return what it returned.

    Raises:
        TypeError: it returned a coroutine or a generator, so nothing of it has run.
        Exception: the hook raised it.
    """
    returned = hook(*arguments, **details)
    if inspect.isawaitable(returned) or inspect.isgenerator(returned) or inspect.isasyncgen(returned):
        # Python would warn that it was never awaited.
        end = getattr(returned, "close", None) or getattr(returned, "cancel", None)
        if end is not None:
            end()
        raise TypeError(
            f"the hook {name_of(hook)} returned an object of type {type(returned).__name__}, which nobody awaits: "
            "a hook must do its work before it returns, for example with asyncio.run"
        )
    return returned


def call_expire_hook(hook: ExpireHook, argument: Any, order_ids: Sequence[Any], **details: object) -> None:
    """Call a hook of ``@orders.on_expire`` with those details that it has a parameter for.

    Args:
        hook: the shop's function.
        argument: the session, or Django's alias.
        order_ids: the ids of the orders, in ascending order.
        details: what it may ask for by name: "reason", "again".
    """
    wanted = keywords_of(hook)
    call_hook(hook, argument, order_ids, **{name: details[name] for name in details if name in wanted})


def call_late_payment_hook(hook: LatePaymentHook, argument: Any, order_id: Any) -> bool:
    """Return whether the hook wants to revive an order.

    Raises:
        TypeError: it returned neither a bool nor None.
        Exception: the hook raised it.
    """
    revives = call_hook(hook, argument, order_id)
    if revives is not None and not isinstance(revives, bool):
        raise TypeError(
            f"the hook {name_of(hook)} returned {revives!r}: it must return True to revive the order, or else False"
        )
    return bool(revives)


def _only(decorator: str, registered: HookT | None, function: HookT) -> HookT:
    if registered is not None and not _is_same(registered, function):
        raise ConfigError(
            f"@orders.{decorator} takes one function: {name_of(registered)} is already registered, "
            f"so {name_of(function)} was rejected"
        )
    return function


def _is_same(one: Callable[..., Any], other: Callable[..., Any]) -> bool:
    """Return whether two functions are the same, even if their module was imported twice under different names."""
    return one is other or (_location(one) is not None and _location(one) == _location(other))


def _location(function: Callable[..., Any]) -> tuple[str, int, str] | None:
    """Return the file, line and name of a module-level function or a method; None for a function made at run time."""
    code, name = getattr(function, "__code__", None), getattr(function, "__qualname__", "<locals>")
    return None if code is None or "<locals>" in name else (realpath(code.co_filename), code.co_firstlineno, name)
