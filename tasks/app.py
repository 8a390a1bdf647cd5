"""The Celery app. Its settings are in the module ``celeryconfig``."""

from celery import Celery
from celery.signals import beat_init

app = Celery("orders")
app.config_from_object("celeryconfig")


@beat_init.connect
def sweep_at_once(**_: object) -> None:
    """Sweep when beat starts, not one interval later."""
    entry = app.conf.beat_schedule["sweep"]
    app.send_task(entry["task"], **entry["options"])
