"""The task ``orders.sweep``, which beat sends, and how it sends ``orders.expire``."""

import logging
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from celery import Celery, Task
from kombu.utils.uuid import uuid

import orders
from orders.logs import about
from orders.messages import parse_shard
from orders.sharding import rehome
from orders.sweep import Dispatch
from orders.sweep import sweep as run_sweep
from tasks.clock import TimedTask
from tasks.registry import task
from tasks.stopping import is_stopping

logger = logging.getLogger(__name__)


class CeleryPublisher:
    """Sends dispatches as ``orders.expire`` tasks over one connection.

    As ``expire.apply_async`` does, in less than half of its time: what is the same for all messages is looked up once.
    """

    def __init__(self, app: Celery, producer: Any) -> None:
        self._app = app
        self._producer = producer
        self._queue = app.amqp.queues["orders.expire"]

    def backlog(self) -> int:
        """Return how many messages wait in the queue: every broker tells when the queue is declared again."""
        declared = self._queue.bind(self._producer.channel).queue_declare()
        return int(declared.message_count)

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        """Send messages, in few round trips where the broker can (kombu's ``Producer.batch``)."""
        app, parent = self._app, self._app.current_worker_task
        ancestors = {"root_id": parent.request.root_id, "parent_id": parent.request.id} if parent else {}
        with self._producer.batch():
            for dispatch in dispatches:
                held = {"lease": dispatch.lease}
                if dispatch.shard is not None:  # who knows of no shards is sent none
                    held["shard"] = dispatch.shard
                message = app.amqp.as_task_v2(
                    uuid(),
                    "orders.expire",
                    dispatch.order_ids,
                    held,
                    eta=dispatch.eta,
                    expires=dispatch.expires,
                    ignore_result=True,
                    argsrepr=repr(dispatch.order_ids),  # all of them: Flower searches in it
                    kwargsrepr=repr(held),
                    **ancestors,
                )
                app.amqp.send_task_message(
                    self._producer,
                    "orders.expire",
                    message,
                    queue=self._queue,
                    declare=[],  # `backlog` has
                    expiration=max((dispatch.expires - datetime.now(UTC)).total_seconds(), 0.0),
                    retry=False,
                )


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
        moved = rehome(schedule, is_over=lambda: is_stopping.is_set() or time.monotonic() >= give_up)
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
