"""Django in a process that is no web server of its own: a Celery worker, beat."""

from __future__ import annotations

import django


def start() -> None:
    """Start Django as ``DJANGO_SETTINGS_MODULE`` says. If the project has installed our app, that does the rest."""
    django.setup()
