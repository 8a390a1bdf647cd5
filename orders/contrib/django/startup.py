"""Django in a process that is no web server of its own: a Celery worker, beat, the command ``orders``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django.conf import ENVIRONMENT_VARIABLE

from orders.errors import ConfigError


def start() -> None:
    """Start Django as ``DJANGO_SETTINGS_MODULE`` says. If the project has installed our app, that does the rest.

    Raises:
        ConfigError: there is no such module.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as manage.py and Celery have it, and a console script has not
    named = os.environ[ENVIRONMENT_VARIABLE]
    try:
        django.setup()
    except ModuleNotFoundError as error:
        if f"{named}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{ENVIRONMENT_VARIABLE} is {named!r}: accepted is a module of settings, as in `manage.py`; {error}"
            ) from error
        raise
