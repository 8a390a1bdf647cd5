"""The Celery app. Its settings are in the module ``celeryconfig``."""

from typing import Any

from celery import Celery
from celery.signals import beat_init, import_modules

import orders

app = Celery("orders", set_as_current=False)  # the process may have another app
app.config_from_object("celeryconfig")


@import_modules.connect
def import_hooks(**_: object) -> None:
    """Import the hooks when a worker starts, so that it fails to start without them."""
    orders.configure()


@beat_init.connect
def sweep_at_once(sender: Any, **_: object) -> None:
    """Send a sweep when beat starts, not one interval later."""
    for entry in sender.app.conf.beat_schedule.values():
        if entry["task"] == "orders.sweep":
            sender.app.send_task(entry["task"], **entry.get("options", {}))
