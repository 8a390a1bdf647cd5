"""The task ``orders.reconcile``, which beat sends every minute."""

import time
from dataclasses import asdict

import orders
from tasks.registry import task
from tasks.worker.periodic import PeriodicTask
from tasks.worker.shutdown import is_stopping

SECONDS = 30.0
"""How long a run may take. The next run continues where it stopped."""


@task(name="orders.reconcile", base=PeriodicTask)
def reconcile() -> dict[str, int]:
    """Schedule overdue orders that are not in the schedule; see `orders.expiry.reconcile.reconcile`."""
    give_up = time.monotonic() + SECONDS
    found = orders.current().reconcile(is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
    return asdict(found)
