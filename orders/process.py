"""What one process has: its `OrderExpiry`, its hooks, and the web framework that brings its settings.

In a web server the framework is running, and its adapter in `orders.contrib` has called `provide`. A Celery worker and
beat start no framework, so `start` starts the one that an environment variable names.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module

from orders import hooks
from orders.config import Settings
from orders.expiry import OrderExpiry
from orders.hooks import Hooks

ADAPTERS = {
    "DJANGO_SETTINGS_MODULE": "orders.contrib.django.startup",
    "ORDERS_APP": "orders.contrib.flask.startup",
}
"""Environment variables by which frameworks find their settings, and the modules whose ``start`` starts them."""

_current: OrderExpiry | None = None

_factory: Callable[[], OrderExpiry] | None = None

_used: ContextVar[OrderExpiry | None] = ContextVar("orders_used", default=None)

_hooks = Hooks()

guard = _hooks.guard

on_event = _hooks.on_event

on_expire = _hooks.on_expire

on_late_payment = _hooks.on_late_payment

deadline_rule = _hooks.deadline_rule


def configure(settings: Settings | None = None) -> OrderExpiry:
    """Use these settings from now on in this process; return what uses them.

    By default those that a framework has provided (see `orders.process.provide`), or else the environment's. The
    modules of ``ORDERS_HOOKS`` are imported, and with them come the hooks of the shop.

    Raises:
        ConfigError: the environment holds a wrong setting, or a module of hooks cannot be imported.
    """
    global _current  # noqa: PLW0603 - one instance per process is the purpose of this module
    if settings is None and (factory := _provided()):
        _current = factory()
        hooks.load(_current.settings.hooks)
        return _current
    settings = settings or Settings()
    hooks.load(settings.hooks)
    _current = OrderExpiry.connect(settings, hooks=_hooks)
    return _current


def provide(factory: Callable[[], OrderExpiry]) -> None:
    """Have this process use what a framework has, its settings, database and hooks, in place of the environment's.

    Args:
        factory: makes it, when it is first needed; see `current`. It must be cheap, and connect to nothing.
    """
    global _current, _factory
    _current, _factory = None, factory


def process_hooks() -> Hooks:
    """Return what the decorators of this module have registered: for what a framework provides."""
    return _hooks


def process_settings() -> Settings:
    """Return the settings of this process, without importing hooks: for what is read before anything runs.

    Raises:
        ConfigError: the environment holds a wrong setting.
    """
    if _current is not None:
        return _current.settings
    factory = _provided()
    return Settings() if factory is None else factory().settings


def is_provided() -> bool:
    """Tell whether a framework has provided what this process uses; see `provide`."""
    return _provided() is not None


def _provided() -> Callable[[], OrderExpiry] | None:
    if _factory is None:
        start()
    return _factory


@contextmanager
def using(expiry: OrderExpiry) -> Iterator[None]:
    """Have the functions of this module use another instance in here: a command that serves one of several apps."""
    token = _used.set(expiry)
    try:
        yield
    finally:
        _used.reset(token)


def current() -> OrderExpiry:
    """Return what the functions of this module use; made at the first call, see `configure`."""
    return _used.get() or _current or configure()


def named() -> str | None:
    """Return how the environment names a framework's settings, if it does: ``ORDERS_APP=shop``."""
    return next((f"{variable}={os.environ[variable]}" for variable in ADAPTERS if os.environ.get(variable)), None)


def start() -> None:
    """Start the framework that the environment names, if it names one. Starting it again does nothing."""
    for variable, adapter in ADAPTERS.items():
        if os.environ.get(variable):
            import_module(adapter).start()
