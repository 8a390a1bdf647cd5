"""A worker that dies while it posts events."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from functools import partial

import pytest

from orders.store import SqlStore
from tests.faults.deployment import Deployment
from tests.integration.webhooks.receiver import SECRET, Received, Receiver, receiving

ORDERS, EXPIRE = 200, 180


class Mean:
    """A receiver that kills the worker in three of its requests, before it answers them."""

    def __init__(self, deployment: Deployment, receiver: Receiver) -> None:
        self._deployment, self._receiver, self._left = deployment, receiver, [30, 60, 90]

    def answer(self, _: Received) -> int:
        if self._left and len(self._receiver.got) >= self._left[0]:
            self._deployment.kill(self._deployment.processes[-1])
            self._left.pop(0)  # not before it is dead: then the test starts another one
        return 200

    def has_killed(self, times: int) -> bool:
        return len(self._left) <= 3 - times


@pytest.fixture
def receiver(deployment: Deployment) -> Iterator[Receiver]:
    with receiving() as receiver, closing(SqlStore(deployment.settings)) as store:
        store.create_outbox()
        url, secret = f"erp={receiver.url}", SECRET
        given = {"URL": url, "SECRET": secret, "ALLOW": "127.0.0.1", "TIMEOUT": "1"}
        deployment.environment.update({f"ORDERS_WEBHOOK_{name}": value for name, value in given.items()})
        yield receiver


def test_kill_9_a_worker_that_posts_events(deployment: Deployment, receiver: Receiver) -> None:
    # given a receiver that the worker knows
    mean, progress = Mean(deployment, receiver), deployment.expiry.store.deliveries.progress
    receiver.answer = mean.answer
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.until(progress, within=20, why="the endpoint did not become known")
    # when all orders expire, and another worker takes the place of each one that dies
    deployment.place(ORDERS)
    for death in (1, 2, 3):
        deployment.until(partial(mean.has_killed, death), within=30, why="nothing was posted")
        deployment.breaks()
        deployment.worker(f"after{death}")
    # then the receiver gets an event of each, and what comes twice has the same id

    def is_over() -> bool:
        return len({each.order_id for each in receiver.accepted}) == EXPIRE and not progress()[0].waiting

    deployment.until(is_over, within=60, why="some are missing, or not marked")
    assert len({(each.order_id, each.headers["webhook-id"]) for each in receiver.got}) == EXPIRE
    deployment.finish()
