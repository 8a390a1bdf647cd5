"""The task ``orders.expire``, which sweeps send."""

import orders
from tasks.messages import parse_claim
from tasks.registry import task
from tasks.worker import group
from tasks.worker.clock import TimedTask


@task(name="orders.expire", base=TimedTask)
def expire(*order_ids: str, lease: float, shard: int | None = None) -> dict[str, int]:
    """Expire orders that a sweep has claimed, together with those of other messages; see `tasks.worker.intake`.

    Messages that no sweep sends are rejected; see `tasks.messages`. Celery never retries a failed task, because its
    orders have already been rescheduled.
    """
    if joined := group.current():
        return joined.end(order_ids)
    members, claimed_with = parse_claim(order_ids, lease, shard)
    return orders.current().expire(members, claimed_with.token, shard=claimed_with.shard)
