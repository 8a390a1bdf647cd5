"""The task ``orders.sweep``, which beat sends."""

import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime

from celery import Task

import orders
from orders.expiry import correct_pause, run_sweep
from orders.logs import about
from orders.schedule import rehome_ids
from tasks.messages import parse_shard
from tasks.publisher import CeleryPublisher
from tasks.registry import task
from tasks.worker.periodic import PeriodicTask
from tasks.worker.shutdown import is_stopping

logger = logging.getLogger(__name__)


@task(name="orders.sweep", bind=True, base=PeriodicTask)
def sweep(self: Task, *, shard: int | None = None) -> dict[str, float]:
    """Claim the orders that are due before the next sweep, and send them to workers; see `orders.expiry.sweep`.

    With shards, this sends one message per shard. Each works for its share of the interval, then goes to the end of the
    queue if there is more to do: no shard waits until another is done, even with fewer sweepers than shards.
    """
    shard, expiry = parse_shard(shard), orders.current()
    expiry.ownership.check()
    schedule, seconds = expiry.schedule, expiry.settings.sweep_interval
    if shard is None:
        correct_pause(expiry)
        give_up = time.monotonic() + seconds
        moved = rehome_ids(schedule, is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
        if len(schedule.shards) > 1:
            expires = datetime.fromtimestamp(schedule.now() + seconds, UTC)
            for each in schedule.shards:
                _send(self, each.number, expires)
            return {"shards": len(schedule.shards), "moved": moved}
    else:
        seconds /= len(schedule.shards)
    with self.app.producer_pool.acquire(block=True) as producer:
        swept = run_sweep(
            schedule.shard(shard),
            CeleryPublisher(self.app, producer),
            expiry.settings,
            seconds=seconds,
            is_stopping=is_stopping.is_set,
            sleep=is_stopping.wait,
        )
    fields = asdict(swept) if shard is None else {"shard": shard, **asdict(swept)}
    text = " ".join(f"{name}={value}" for name, value in fields.items())
    logger.info("sweep %s", text, extra=about("sweep", **fields))
    if shard is not None and swept.seconds >= seconds and self.request.expires:
        _send(self, shard, datetime.fromisoformat(self.request.expires))
    return fields


def _send(task: Task, shard: int | None, expires: datetime) -> None:
    """Send the sweep of a shard to the queue of the current message, which has a consumer."""
    origin = task.request.delivery_info or {}
    queue = origin.get("routing_key") if origin.get("exchange") == "" else None  # the default exchange: a queue's name
    task.apply_async(kwargs={"shard": shard}, queue=queue, expires=expires)
