"""What a sweep sends is what Celery would have sent, byte for byte but for ids."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from celery import Celery, signals
from kombu.entity import Exchange, Queue
from redis import Redis

from orders.config.settings import Settings
from orders.expiry.sweep import Dispatch
from tasks.publisher import CeleryPublisher

EXPIRES = datetime.now(UTC) + timedelta(seconds=120)
IDS = {"id", "root_id", "correlation_id", "delivery_tag"}


@pytest.fixture
def database_url() -> str:
    return "sqlite://"


@pytest.fixture
def app(settings: Settings, redis: Redis) -> Iterator[Celery]:
    app = Celery("shop", broker=settings.redis_url, set_as_current=False)
    app.conf.task_queues = [Queue("orders.expire", Exchange("orders"), routing_key="orders.expire")]
    app.conf.task_routes = {"orders.expire": {"queue": "orders.expire"}}
    yield app
    app.close()


def sent(app: Celery, redis: Redis, *dispatches: Dispatch) -> list[dict[str, Any]]:
    with app.producer_pool.acquire(block=True) as producer:
        publisher = CeleryPublisher(app, producer)
        publisher.backlog()
        publisher.publish(dispatches)
        assert publisher.backlog() == len(dispatches)
    found = [json.loads(item) for item in reversed(redis.lrange("orders.expire", 0, -1))]
    redis.delete("orders.expire")
    return found


def without_ids(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message with its body in plain, and without what differs from one to the next."""
    parts = {"headers": message["headers"], "properties": message["properties"]}
    plain = {name: {key: value for key, value in part.items() if key not in IDS} for name, part in parts.items()}
    plain["properties"]["expiration"] = round(int(plain["properties"]["expiration"]) / 60_000)
    return {**message, **plain, "body": json.loads(b64decode(message["body"]))}


DISPATCHES = [
    Dispatch(("42",), 1795898125.463596, None, EXPIRES),
    Dispatch(("a%sb", 'quote"d', "ünï\udc80"), 0.5, EXPIRES - timedelta(seconds=100), EXPIRES),
    Dispatch(("100%",), 0.5, None, EXPIRES, shard=3),
]


def test_a_message_is_what_celery_would_send(app: Celery, redis: Redis) -> None:
    ours = sent(app, redis, *DISPATCHES)
    with_listener = lambda **_: None  # noqa: E731 - somebody who listens has Celery send them
    signals.before_task_publish.connect(with_listener)
    try:
        celerys = sent(app, redis, *DISPATCHES)
    finally:
        signals.before_task_publish.disconnect(with_listener)
    assert [without_ids(message) for message in ours] == [without_ids(message) for message in celerys]
    for message in [*ours, *celerys]:
        assert message["headers"]["id"] == message["headers"]["root_id"] == message["properties"]["correlation_id"]
    assert len({message["headers"]["id"] for message in ours}) == len(DISPATCHES)


def test_a_message_names_the_sweep_that_sent_it(app: Celery, redis: Redis) -> None:
    def sweep() -> list[dict[str, Any]]:
        return sent(app, redis, DISPATCHES[0])

    [message] = app.task(sweep).apply(task_id="sweep").get()
    assert (message["headers"]["parent_id"], message["headers"]["root_id"]) == ("sweep", "sweep")


@pytest.mark.parametrize(
    "changed", [{"task_serializer": "yaml"}, {"task_compression": "zlib"}, {"task_send_sent_event": True}], ids=str
)
def test_what_an_app_wants_otherwise_celery_sends(app: Celery, redis: Redis, changed: dict[str, Any]) -> None:
    pytest.importorskip("yaml")
    app.conf.update(changed)
    [message] = sent(app, redis, DISPATCHES[0])
    assert message["headers"]["task"] == "orders.expire"
    if "task_serializer" in changed:
        assert message["content-type"] == "application/x-yaml"
    if "task_compression" in changed:
        assert message["headers"]["compression"] == "application/x-gzip"
