"""The task ``orders.expire``: what a worker does with what a sweep sent."""

import orders
from tasks.messages import parse_claim
from tasks.registry import task
from tasks.worker import group
from tasks.worker.clock import TimedTask


@task(name="orders.expire", base=TimedTask)
def expire(*order_ids: str, lease: float, shard: int | None = None) -> dict[str, int]:
    """Expire orders that a sweep has claimed, together with those of other messages; see `tasks.worker.intake`.

    What no sweep sends is refused; see `tasks.messages`. A failure is never retried by Celery: the orders have been
    scheduled for their next attempt when it shows.
    """
    if joined := group.current():
        return joined.end(order_ids)
    members, held = parse_claim(order_ids, lease, shard)
    return orders.current().expire(members, held.token, shard=held.shard)
