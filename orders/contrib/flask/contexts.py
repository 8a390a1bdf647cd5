"""The shop's hooks in its app's context, wherever they are called: in a worker, in a request, in a command."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app
from sqlalchemy.orm import Session

from orders.hooks import Hooks

if TYPE_CHECKING:
    from orders.contrib.flask.state import Database


def share(shop: Hooks, app_hooks: Hooks, app: Flask, database: Database | None) -> None:
    """Have *app_hooks* be the shop's hooks, each to be called in the context of one app."""

    def plain(function: Callable[..., Any] | None) -> Any:
        return function and _InContext(function, app)

    def joined(function: Callable[..., Any] | None) -> Any:
        return function and _InTransaction(function, app, database)

    app_hooks.expire_hooks[:] = map(joined, shop.expire_hooks)
    app_hooks.event_hooks[:] = map(plain, shop.event_hooks)
    app_hooks.late_payment_hook = joined(shop.late_payment_hook)
    app_hooks.guard_hook = plain(shop.guard_hook)
    app_hooks.rule = plain(shop.rule)


def is_current(app: Flask) -> bool:
    """Tell whether a context of this app is active here."""
    return bool(current_app) and current_app._get_current_object() is app  # type: ignore[attr-defined]  # noqa: SLF001


class _InContext:
    """A hook that is given no session: in the active context, if it is one of this app."""

    def __init__(self, function: Callable[..., Any], app: Flask) -> None:
        self._function = function
        self._app = app

    def __call__(self, *arguments: Any) -> Any:
        if is_current(self._app):
            return self._function(*arguments)
        with self._app.app_context():
            return self._function(*arguments)


class _InTransaction:
    """A hook that is given a session: in a context in which ``db.session`` is that session."""

    def __init__(self, function: Callable[..., Any], app: Flask, database: Database | None) -> None:
        self._function = function
        self._app = app
        self._db = database.db if database else None
        self._to_python = database.to_python if database else lambda key: key

    def __call__(self, session: Session, about: Any) -> Any:
        known = [self._to_python(key) for key in about] if isinstance(about, list) else self._to_python(about)
        with self._context(session):
            return self._function(session, known)

    @contextmanager
    def _context(self, session: Session) -> Iterator[None]:
        registry: Any = None if self._db is None else self._db.session.registry
        if registry and is_current(self._app) and registry.has() and registry() is session:
            yield  # a payment that has joined db.session
            return
        with self._app.app_context():
            if registry is None:
                yield
                return
            # Models, queries and helpers that use db.session would otherwise work in a transaction of their own,
            # which waits for the locks of this one.
            registry.set(session)
            try:
                yield
            finally:
                registry.clear()  # so that the end of the context does not close the session
