"""The task ``orders.deliver``, which beat sends: events to the shop's handlers."""

import time

import orders
from tasks.app import app
from tasks.stopping import is_stopping


@app.task(name="orders.deliver")
def deliver() -> dict[str, int]:
    """Give waiting events to the handlers; see `orders.delivery.deliver`.

    A run takes no longer than until beat sends the next, so that handlers never hold more than one process of a pool.
    """
    expiry = orders.current()
    give_up = time.monotonic() + expiry.settings.events_interval
    return expiry.deliver(is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
