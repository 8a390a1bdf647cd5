"""The task ``orders.prune``, which beat sends once an hour."""

import orders
from tasks.app import app
from tasks.stopping import is_stopping


@app.task(name="orders.prune")
def prune() -> int:
    """Delete events that are older than their retention; see `orders.delivery.prune`."""
    return orders.current().prune(is_over=is_stopping.is_set)
