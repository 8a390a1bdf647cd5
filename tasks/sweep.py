"""The task ``orders.sweep``, which beat sends, and how it sends ``orders.expire``."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import orders
from orders.sweep import Dispatch
from orders.sweep import sweep as run_sweep
from tasks.app import app
from tasks.expire import expire
from tasks.stopping import is_stopping

logger = logging.getLogger(__name__)


class CeleryPublisher:
    """Sends dispatches as ``orders.expire`` tasks over one connection."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer
        self._queue = app.amqp.queues["orders.expire"]

    def backlog(self) -> int:
        """Return how many messages wait in the queue: every broker tells when the queue is declared again."""
        declared = self._queue.bind(self._producer.channel).queue_declare()
        return int(declared.message_count)

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        """Send messages, in few round trips where the broker can (kombu's ``Producer.batch``)."""
        with self._producer.batch():
            for dispatch in dispatches:
                expire.apply_async(
                    args=dispatch.order_ids,
                    kwargs={"lease": dispatch.lease},
                    eta=dispatch.eta,
                    expires=dispatch.expires,
                    producer=self._producer,
                    retry=False,
                )


@app.task(name="orders.sweep")
def sweep() -> dict[str, float]:
    """Claim what falls due before the next sweep, and send it to the workers; see `orders.sweep.sweep`."""
    expiry = orders.current()
    with app.producer_pool.acquire(block=True) as producer:
        publisher = CeleryPublisher(producer)
        swept = run_sweep(expiry.schedule, publisher, expiry.settings, is_stopping=is_stopping.is_set)
    logger.info("sweep claimed=%d sent=%d seconds=%.3f", swept.claimed, swept.sent, swept.seconds)
    return asdict(swept)
