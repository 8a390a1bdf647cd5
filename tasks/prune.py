"""The task ``orders.prune``, which beat sends every hour."""

import orders
from tasks.registry import task
from tasks.worker.periodic import PeriodicTask
from tasks.worker.shutdown import is_stopping


@task(name="orders.prune", base=PeriodicTask)
def prune() -> int:
    """Delete events that are older than their retention; see `orders.expiry.deliver.prune`."""
    return orders.current().prune(is_over=is_stopping.is_set)
