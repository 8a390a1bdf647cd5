"""Check that what a shop registers as a hook can be called as one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from orders.errors import ConfigError

ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "on_expire": ("session", "order_ids"),
    "on_late_payment": ("session", "order_id"),
    "guard": ("order_id",),
    "on_event": ("event",),
    "deadline_rule": ("order_id", "context"),
    "condition": ("table",),
}
"""What each hook is called with, by position."""

DETAILS: Mapping[str, tuple[str, ...]] = {"on_expire": ("reason", "again")}
"""What a hook is also called with, by keyword, if its signature has a parameter of that name."""


def check(decorator: str, function: Callable[..., Any]) -> None:
    """Reject what cannot be called as this hook, and what would do nothing if it were called.

    Args:
        decorator: the name of the hook, one of `ARGUMENTS`.
        function: what was given to the decorator.

    Raises:
        ConfigError: it is not a plain function that takes the arguments of this hook.
    """
    if problem := _problem(decorator, function):
        raise ConfigError(
            f"@orders.{decorator} was given {name_of(function)}, {problem}: "
            f"it must be a plain function that takes ({', '.join(ARGUMENTS[decorator])})"
        )


def _problem(decorator: str, function: Callable[..., Any]) -> str | None:
    called: Any = function
    while isinstance(called, partial):
        called = called.func
    if not callable(called):
        return "which is not callable"
    if isinstance(called, type):
        return "which is a class"
    for code in (called, called.__call__):
        if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
            return "an async function, which nobody would await"
        if inspect.isgeneratorfunction(code):
            return "a generator, whose code would never run"
    return _misfit(decorator, function)


def _misfit(decorator: str, function: Callable[..., Any]) -> str | None:
    """Return why a function cannot be called with the arguments of a hook; None if it can."""
    try:
        signature = inspect.signature(function, follow_wrapped=False)  # a wrapper may pass more than it is given
    except (TypeError, ValueError):  # a function in C may have none
        return None
    details = {name: None for name in DETAILS.get(decorator, ()) if name in signature.parameters}
    try:
        signature.bind(*ARGUMENTS[decorator], **details)
    except TypeError:
        return f"which takes {signature}"
    return None


def keywords_of(function: Callable[..., Any]) -> frozenset[str]:
    """Return the parameters of a function that can be passed by name."""
    try:
        parameters = inspect.signature(function, follow_wrapped=False).parameters.values()
    except (TypeError, ValueError):  # a function in C may have none
        return frozenset()
    by_name = {inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY}
    return frozenset(parameter.name for parameter in parameters if parameter.kind in by_name)


def name_of(function: object) -> str:
    """Return the full name of a function, for messages."""
    name = getattr(function, "__qualname__", None)
    return repr(function) if name is None else f"{getattr(function, '__module__', '?')}.{name}"
