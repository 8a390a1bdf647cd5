"""The task ``orders.sweep``, which beat sends."""

import logging
import time
from dataclasses import asdict
from datetime import UTC, datetime

from celery import Task

import orders
from orders.expiry import run_sweep
from orders.logs import about
from orders.schedule import rehome_ids
from tasks.messages import parse_shard
from tasks.publisher import CeleryPublisher
from tasks.registry import task
from tasks.worker.clock import TimedTask
from tasks.worker.shutdown import is_stopping

logger = logging.getLogger(__name__)


@task(name="orders.sweep", bind=True, base=TimedTask)
def sweep(self: Task, *, shard: int | None = None) -> dict[str, float]:
    """Claim what falls due before the next sweep, and send it to the workers; see `orders.sweep.sweep`.

    Of several shards each gets a message of its own. It works for its share of the interval, and if there is more to
    do it goes to the end of the queue: where there are fewer sweepers than shards, none waits for another to be done.
    """
    shard, expiry = parse_shard(shard), orders.current()
    schedule, seconds = expiry.schedule, expiry.settings.sweep_interval
    if shard is None:
        give_up = time.monotonic() + seconds
        moved = rehome_ids(schedule, is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
        if len(schedule.shards) > 1:
            void = datetime.fromtimestamp(schedule.now() + seconds, UTC)
            for each in schedule.shards:
                _send(self, each.number, void)
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
    told = asdict(swept) if shard is None else {"shard": shard, **asdict(swept)}
    logger.info("sweep %s", " ".join(f"{name}={value}" for name, value in told.items()), extra=about("sweep", **told))
    if shard is not None and swept.seconds >= seconds and self.request.expires:
        _send(self, shard, datetime.fromisoformat(self.request.expires))
    return told


def _send(task: Task, shard: int | None, void: datetime) -> None:
    """Send the sweep of a shard through the queue that this one came from: somebody consumes that."""
    came = task.request.delivery_info or {}
    queue = came.get("routing_key") if came.get("exchange") == "" else None  # without an exchange, the queue's name
    task.apply_async(kwargs={"shard": shard}, queue=queue, expires=void)
