"""The Django app. Its label is ``order_expiry``, so that a shop can call its own app ``orders``."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.utils.module_loading import autodiscover_modules

from orders import process
from orders.contrib.django import conf


class OrderExpiryConfig(AppConfig):
    """Reads ``ORDERS`` and imports ``order_hooks.py`` of every installed app when Django starts.

    It does not connect to Redis or to the database, so that every ``manage.py`` command starts without them.
    """

    name = __package__
    label = "order_expiry"
    verbose_name = "Order expiry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Configure this process with the project's settings and database connections.

        Raises:
            DjangoConfigError: ``ORDERS`` is invalid. ``manage.py check`` starts nevertheless, and reports it.
        """
        # These modules need the models, which are loaded now.
        from orders.contrib.django import checks  # noqa: F401, PLC0415 - registers them
        from orders.contrib.django.expiry import connect  # noqa: PLC0415 - needs the models

        process.provide(connect)
        autodiscover_modules("order_hooks")
        try:
            process.configure()
        except conf.DjangoConfigError:
            # Web servers run no system checks, and Celery ignores their results: fail here. `check` reports the error.
            if conf.subcommand() != "check":
                raise
        setting_changed.connect(_follow, dispatch_uid=__package__)


def _follow(*, setting: str, **_: Any) -> None:
    """Apply the value that a test sets with ``override_settings(ORDERS=…)``."""
    if setting == "ORDERS":
        process.configure()
