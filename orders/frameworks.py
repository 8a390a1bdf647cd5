"""The web framework that holds this process's settings, where an environment variable names it.

In a web server the framework runs already, and its adapter in `orders.contrib` has provided what the process is to
use (see `orders.api.provide`). A Celery worker and beat start no framework: the adapter does it here.
"""

from __future__ import annotations

import os
from importlib import import_module

ADAPTERS = {
    "DJANGO_SETTINGS_MODULE": "orders.contrib.django.starting",
    "ORDERS_APP": "orders.contrib.flask.starting",
}
"""Environment variables by which frameworks find their settings, and the modules whose ``start`` starts them."""


def named() -> str | None:
    """Return how the environment names a framework's settings, if it does: ``ORDERS_APP=shop``."""
    return next((f"{variable}={os.environ[variable]}" for variable in ADAPTERS if os.environ.get(variable)), None)


def start() -> None:
    """Start the framework that the environment names, if it names one. Starting it again does nothing."""
    for variable, adapter in ADAPTERS.items():
        if os.environ.get(variable):
            import_module(adapter).start()
