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
