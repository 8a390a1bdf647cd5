"""The Celery app. Its settings are in the module ``celeryconfig``."""

from celery import Celery
from celery.signals import beat_init, import_modules

import orders

app = Celery("orders")
app.config_from_object("celeryconfig")


@import_modules.connect
def import_hooks(**_: object) -> None:
    """Import the shop's hooks when a worker starts: one that lacks them must not start."""
    orders.configure()


@beat_init.connect
def sweep_at_once(**_: object) -> None:
    """Sweep when beat starts, not one interval later."""
    entry = app.conf.beat_schedule["sweep"]
    app.send_task(entry["task"], **entry["options"])
