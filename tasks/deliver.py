"""The task ``orders.deliver``, which beat sends: events to the shop's handlers."""

import time

import orders
from tasks.registry import task
from tasks.worker.shutdown import is_stopping


@task(name="orders.deliver")
def deliver() -> dict[str, int]:
    """Give waiting events to the handlers; see `orders.expiry.deliver.deliver`.

    One run at a time, and none longer than until beat sends the next: handlers that are slow hold one process.
    """
    expiry = orders.current()
    seconds = expiry.settings.events_interval
    give_up = time.monotonic() + seconds
    with expiry.schedule.delivering(seconds) as alone:
        if not alone:
            return {"delivered": 0}
        return expiry.deliver(is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
