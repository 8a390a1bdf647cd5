"""The task ``orders.reconcile``, which beat sends once a minute."""

from dataclasses import asdict

import orders
from tasks.app import app

SECONDS = 30.0
"""How long a run may take; the next one goes on where it stopped."""


@app.task(name="orders.reconcile")
def reconcile() -> dict[str, int]:
    """Schedule overdue orders that the schedule lacks; see `orders.reconciling.reconcile`."""
    return asdict(orders.current().reconcile(seconds=SECONDS))
