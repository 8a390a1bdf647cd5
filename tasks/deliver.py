"""The task ``orders.deliver``, which beat sends."""

import time

import orders
from tasks.registry import task
from tasks.worker.periodic import PeriodicTask
from tasks.worker.shutdown import is_stopping

ALONE = 0.9
"""The part of the interval for which no second run begins: less than all, or the next one would find this one."""


@task(name="orders.deliver", base=PeriodicTask)
def deliver() -> dict[str, int]:
    """Call the handlers of waiting events, and post them; see `orders.current().deliver`.

    A run takes on nothing new once beat sends the next one, and that one begins although the last requests of this
    one may still wait for an answer: an endpoint that hangs delays no other one, and no handlers.
    """
    expiry = orders.current()
    seconds = expiry.settings.events_interval
    give_up = time.monotonic() + seconds
    with expiry.schedule.delivering(ALONE * seconds) as is_alone:
        if not is_alone:
            return {"delivered": 0}
        return expiry.deliver(is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
