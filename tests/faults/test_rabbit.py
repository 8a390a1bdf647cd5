"""RabbitMQ as the broker, restarted while orders expire."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.deployment import Deployment
from tests.faults.rabbit import RabbitMq, running_rabbit


@pytest.fixture(scope="module")
def rabbit() -> Iterator[RabbitMq]:
    with (
        tempfile.TemporaryDirectory(prefix="orders-mq-", ignore_cleanup_errors=True) as folder,
        running_rabbit(Path(folder) / "rabbitmq") as rabbit,
    ):
        yield rabbit


def test_rabbitmq_killed_and_restarted(deployment: Deployment, rabbit: RabbitMq) -> None:
    # given orders that are being expired
    deployment.change(broker_url=rabbit.url)
    deployment.drain_half()
    # when the broker dies, and comes back
    rabbit.kill()
    rabbit.start()
    # then nothing is lost, and nothing is done twice
    deployment.finish(within=60)
    # and a sweep saw by the queue when it was to wait: no more messages were out than may be
    assert deployment.expiry.schedule.stats()["expired"] == 1800


def test_a_worker_that_gets_no_messages_from_rabbitmq(deployment: Deployment, rabbit: RabbitMq) -> None:
    deployment.change(broker_url=rabbit.url)
    deployment.beat()
    deployment.deaf_worker()
    deployment.breaks()
    deployment.place()
    deployment.finish(within=60)
    assert "nothing was received for 1 s, although messages wait: orders." in deployment.log()
