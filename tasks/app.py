"""The Celery app. Its settings are in the module ``celeryconfig``."""

import logging
from typing import Any

from celery import Celery
from celery.signals import after_setup_logger, beat_init, import_modules

import orders

app = Celery("orders", set_as_current=False)  # a shop may have an app of its own in the same process
app.config_from_object("celeryconfig")


@import_modules.connect
def import_hooks(**_: object) -> None:
    """Import the shop's hooks when a worker starts: one that lacks them must not start."""
    orders.configure()


@after_setup_logger.connect
def log_each_order_once(**_: object) -> None:
    """Leave it to the line of an attempt, which names its orders; Celery's two for each message say less."""
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    logging.getLogger("celery.app.trace").addFilter(_is_told_by_celery)


def _is_told_by_celery(record: logging.LogRecord) -> bool:
    return record.levelno > logging.INFO or getattr(record, "data", {}).get("name") != "orders.expire"


@beat_init.connect
def sweep_at_once(sender: Any, **_: object) -> None:
    """Sweep when beat starts, not one interval later."""
    for entry in sender.app.conf.beat_schedule.values():
        if entry["task"] == "orders.sweep":
            sender.app.send_task(entry["task"], **entry.get("options", {}))
