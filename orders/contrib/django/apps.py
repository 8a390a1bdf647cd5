"""The Django app. Its label is ``order_expiry``, so that a shop's own app may be called ``orders``."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.core.signals import setting_changed
from django.utils.module_loading import autodiscover_modules

from orders import process
from orders.contrib.django import conf


class OrderExpiryConfig(AppConfig):
    """What happens when Django starts: ``ORDERS`` is read, and ``order_hooks.py`` of every app imported.

    Neither Redis nor the database is asked, so that every ``manage.py`` command starts without them.
    """

    name = "orders.contrib.django"
    label = "order_expiry"
    verbose_name = "Order expiry"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Put the project's settings and connections to work.

        Raises:
            DjangoConfigError: ``ORDERS`` is wrong, and it is not ``manage.py check`` that starts, which tells it.
        """
        # These need the models, which are loaded by now.
        from orders.contrib.django import checks  # noqa: F401, PLC0415 - registers them
        from orders.contrib.django.expiry import connect  # noqa: PLC0415 - needs the models

        process.provide(connect)
        autodiscover_modules("order_hooks")
        try:
            process.configure()
        except conf.DjangoConfigError:
            # Web servers make no system checks, and Celery ignores what they find. `check` serves nobody, and tells it.
            if conf.subcommand() != "check":
                raise
        setting_changed.connect(_follow, dispatch_uid="orders.contrib.django")


def _follow(*, setting: str, **_: Any) -> None:
    """Use what a test overrides with ``override_settings(ORDERS=…)``."""
    if setting == "ORDERS":
        process.configure()
