"""The state of one process: its `OrderExpiry`, its hooks, and the web framework that provides its settings.

In a web server the framework is running, and its adapter in `orders.contrib` has called `provide`. Celery's worker and
beat start no framework, so `start` starts the one that an environment variable names.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib import import_module

from orders import hooks, names
from orders.arguments import check_type
from orders.config import Settings, misspelt
from orders.errors import ConfigError
from orders.expiry import OrderExpiry
from orders.hooks import Hooks
from orders.logs import about

logger = logging.getLogger(__name__)

ADAPTERS = {
    "DJANGO_SETTINGS_MODULE": f"{__package__}.contrib.django.startup",
    "ORDERS_APP": f"{__package__}.contrib.flask.startup",
}
"""The environment variables that name a framework's settings, and the modules whose ``start`` starts the framework."""

_current: OrderExpiry | None = None

_factory: Callable[[], OrderExpiry] | None = None

_used: ContextVar[OrderExpiry | None] = ContextVar("orders_used", default=None)

_hooks = Hooks()

_warned: set[str] = set()
"""The variables that a warning has named."""

guard = _hooks.guard

on_event = _hooks.on_event

on_expire = _hooks.on_expire

on_late_payment = _hooks.on_late_payment

deadline_rule = _hooks.deadline_rule

condition = _hooks.condition


def configure(settings: Settings | None = None) -> OrderExpiry:
    """Set the settings of this process, and return the `OrderExpiry` that uses them.

    Without *settings*, those of a framework are used (see `orders.process.provide`), or else the environment's. The
    modules in ``ORDERS_HOOKS`` are imported, which registers the hooks of the shop.

    Raises:
        ConfigError: a setting in the environment is invalid, or a hooks module cannot be imported.
        TypeError: *settings* is something else, such as a dict: use `Settings.of`.
    """
    global _current  # noqa: PLW0603 - one instance per process is the purpose of this module
    check_type("settings", settings, Settings | None)
    warn_of_misspelt_settings()
    if settings is None and (factory := _provided()):
        _current = factory()
        hooks.load(_current.settings.hooks)
        return _current
    settings = settings or Settings()
    hooks.load(settings.hooks)
    _current = OrderExpiry.connect(settings, hooks=_hooks)
    return _current


def warn_of_misspelt_settings() -> None:
    """Log a warning about each variable of the environment that looks like a misspelt setting, once in a process."""
    for name, setting in misspelt(os.environ).items():
        if name not in _warned:
            _warned.add(name)
            message = "%s is not a setting, and is ignored: did you mean %s?"
            logger.warning(message, name, setting, extra=about("misspelt", variable=name, setting=setting))


def provide(factory: Callable[[], OrderExpiry]) -> None:
    """Use the settings, database and hooks of a framework in this process, instead of the environment's.

    Args:
        factory: makes the `OrderExpiry` when it is first needed; see `current`. It must be cheap and must not connect
            to a server.
    """
    global _current, _factory
    _current, _factory = None, factory


def process_hooks() -> Hooks:
    """Return the hooks that the decorators of this module have registered, for a framework to use."""
    return _hooks


def process_settings() -> Settings:
    """Return the settings of this process without importing hooks. For code that runs before the process is ready.

    Raises:
        ConfigError: a setting in the environment is invalid.
    """
    if known := _used.get() or _current:
        return known.settings
    factory = _provided()
    return Settings() if factory is None else factory().settings


def is_provided() -> bool:
    """Return whether a framework has provided the settings of this process; see `provide`."""
    return _provided() is not None


def _provided() -> Callable[[], OrderExpiry] | None:
    if _factory is None:
        start()
    return _factory


@contextmanager
def using(expiry: OrderExpiry) -> Iterator[None]:
    """Use another instance inside this context, as in a command that serves one of several apps."""
    token = _used.set(expiry)
    try:
        yield
    finally:
        _used.reset(token)


def current() -> OrderExpiry:
    """Return the `OrderExpiry` of this process, made by `configure` at the first call."""
    return _used.get() or _current or configure()


def named() -> str | None:
    """Return the environment variable that names a framework's settings, such as ``ORDERS_APP=shop``, if one is set."""
    return next((f"{variable}={os.environ[variable]}" for variable in ADAPTERS if os.environ.get(variable)), None)


def start() -> None:
    """Start the framework that the environment names, if any. Starting it again does nothing.

    Raises:
        ConfigError: there is no such app, or it imports this package by its other name.
    """
    for variable, adapter in ADAPTERS.items():
        if os.environ.get(variable):
            try:
                import_module(adapter).start()
            except ImportError as error:
                if error.name != names.OTHER:
                    raise
                raise ConfigError(f"{variable} is {os.environ[variable]!r}: {error}") from error
