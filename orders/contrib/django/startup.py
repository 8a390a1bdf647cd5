"""Starts Django in a process that has not started it: a Celery worker, beat, the command ``orders``."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import django
from django.conf import ENVIRONMENT_VARIABLE

from orders.errors import ConfigError


def start() -> None:
    """Start Django with the settings that ``DJANGO_SETTINGS_MODULE`` names. If our app is installed, Django starts it.

    Raises:
        ConfigError: there is no such module.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # as manage.py and Celery do; a console script does not
    name = os.environ[ENVIRONMENT_VARIABLE]
    try:
        django.setup()
    except ModuleNotFoundError as error:
        if f"{name}.".startswith(f"{error.name}."):
            raise ConfigError(
                f"{ENVIRONMENT_VARIABLE} is {name!r}: it must be a settings module, as in `manage.py`; {error}"
            ) from None
        raise
