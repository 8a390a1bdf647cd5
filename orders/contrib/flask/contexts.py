"""Runs the shop's hooks in its app's context: in a worker, in a request and in a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app
from sqlalchemy.orm import Session

from orders.hooks import Hooks

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy


def share(shop: Hooks, app_hooks: Hooks, app: Flask) -> None:
    """Copy the shop's hooks to *app_hooks*. Hooks without a session are wrapped to run in the app's context.

    Hooks with a session run in `session_context`.
    """

    def in_context(function: Callable[..., Any] | None) -> Any:
        return function and _InContext(function, app)

    app_hooks.expire_hooks[:] = shop.expire_hooks
    app_hooks.late_payment_hook = shop.late_payment_hook
    app_hooks.event_hooks[:] = map(in_context, shop.event_hooks)
    app_hooks.guard_hook = in_context(shop.guard_hook)
    app_hooks.rule = in_context(shop.rule)
    app_hooks.condition_hook = in_context(shop.condition_hook)


@contextmanager
def session_context(app: Flask, db: SQLAlchemy | None, session: Session) -> Iterator[None]:
    """Run the block in a context of the app in which ``db.session`` is this session."""
    registry: Any = None if db is None else db.session.registry
    if registry and is_current(app) and registry.has() and registry() is session:
        yield  # a payment that has joined db.session
        return
    with app.app_context():
        if registry is None:
            yield
            return
        # Otherwise, models, queries and helpers that use db.session would open their own transaction, which would wait
        # for the locks of this one.
        registry.set(session)
        try:
            yield
        finally:
            registry.clear()  # otherwise the end of the context would close the session


def is_current(app: Flask) -> bool:
    """Return whether a context of this app is active."""
    active: Any = current_app  # which mypy takes for the app itself
    return bool(active) and active._get_current_object() is app  # noqa: SLF001 - documented by Flask


class _InContext:
    """A hook without a session. It runs in the active context if that is this app's, otherwise in a new one."""

    def __init__(self, function: Callable[..., Any], app: Flask) -> None:
        update_wrapper(self, function)  # its name, for messages
        self._function = function
        self._app = app

    def __call__(self, *arguments: Any) -> Any:
        if is_current(self._app):
            return self._function(*arguments)
        with self._app.app_context():
            return self._function(*arguments)
