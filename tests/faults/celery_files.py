"""The files that the folder of a deployment's Celery processes holds."""

from __future__ import annotations

CELERYCONFIG = """
import importlib.util, pathlib, orders
path = pathlib.Path(orders.__file__).parents[1] / "celeryconfig.py"
spec = importlib.util.spec_from_file_location("installed_celeryconfig", path)
installed = importlib.util.module_from_spec(spec)
spec.loader.exec_module(installed)
globals().update({name: value for name, value in vars(installed).items() if not name.startswith("__")})
beat_schedule["reconcile"]["schedule"] = 3.0
"""
"""What a worker's folder may hold to change Celery's settings: here, reconciling every three seconds, not sixty."""

SLEEPLESS = """
import select, time

time.sleep = lambda seconds: select.select([], [], [], seconds)

from tasks import app
"""
"""An app for processes under libfaketime, with which Python's own `time.sleep` fails (EINVAL of clock_nanosleep)."""

POISON = """
import os, signal
from orders.store import SqlStore
from tasks import app

expire = SqlStore.expire

def poisoned(self, order_ids):
    if "7" in order_ids:
        os.kill(os.getpid(), signal.SIGKILL)
    return expire(self, order_ids)

SqlStore.expire = poisoned
"""
"""An app whose processes die of order 7."""

DEAF = """
from celery.worker.control import control_command
from tasks import app

@control_command()
def deafen(state):
    channel = state.consumer.task_consumer.channel
    if hasattr(channel, "_brpop_start"):
        channel._brpop_start = lambda *_: setattr(channel, "_in_poll", True)
    else:
        for tag in state.consumer.task_consumer._active_tags.values():
            channel.basic_cancel(tag)
    return "deaf"
"""
"""An app whose workers, when told to, no longer ask the broker for messages, and do not know."""
