"""The task ``orders.deliver``, which beat sends."""

import time

import orders
from tasks.registry import task
from tasks.worker.shutdown import is_stopping


@task(name="orders.deliver")
def deliver() -> dict[str, int]:
    """Call the handlers of waiting events; see `orders.expiry.deliver.deliver`.

    Only one run at a time, and at most until beat sends the next: slow handlers occupy one process.
    """
    expiry = orders.current()
    seconds = expiry.settings.events_interval
    give_up = time.monotonic() + seconds
    with expiry.schedule.delivering(seconds) as is_alone:
        if not is_alone:
            return {"delivered": 0}
        return expiry.deliver(is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
