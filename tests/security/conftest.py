"""One deployment, with a worker and beat, and somebody who may write to its broker."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest
import sqlalchemy as sa
from kombu.connection import Connection
from kombu.entity import Exchange
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from orders.expiry.use_cases import OrderExpiry
from orders.store.engine import create_engine
from orders.store.sql_store import SqlStore
from tests.acceptance.conftest import Watcher, running, wait_until


@dataclass
class Deployment:
    settings: Settings
    redis: Redis
    engine: sa.Engine
    expiry: OrderExpiry
    watcher: Watcher
    connection: Connection
    worker: psutil.Process
    folder: Path

    def send_raw(
        self,
        body: bytes,
        *,
        task: str,
        queue: str,
        content_type: str = "application/json",
        content_encoding: str = "utf-8",
        **headers: object,
    ) -> str:
        """Send bytes to a queue, with the headers of a task."""
        task_id = str(uuid4())
        given: dict[str, Any] = {"lang": "py", "task": task, "id": task_id, "root_id": task_id, **headers}
        self.publish("", queue, body, content_type, content_encoding, headers=given, correlation_id=task_id)
        return task_id

    def publish(
        self, exchange: str, routing_key: str, body: bytes, content_type: str, content_encoding: str, **others: Any
    ) -> None:
        """Send bytes to an exchange."""
        kinds = {"": "direct", "celery.pidbox": "fanout", "celeryev": "topic"}
        producer = self.connection.Producer()
        producer.publish(
            body,
            exchange=Exchange(exchange, type=kinds[exchange]),
            routing_key=routing_key,
            content_type=content_type,
            content_encoding=content_encoding,
            **others,
        )

    def place(self, *order_ids: str, due: float = -1.0, status: str = "pending") -> None:
        """Place orders, due so many seconds from now, without telling the schedule."""
        insert = "INSERT INTO orders VALUES (:id, :status, now() + make_interval(secs => :due))"
        with self.engine.begin() as connection:
            connection.execute(sa.text(insert), [{"id": i, "status": status, "due": due} for i in order_ids])

    def rows(self) -> dict[str, tuple[str, float]]:
        """Return the state and the deadline of each order."""
        with self.engine.connect() as connection:
            select = "SELECT id, status, extract(epoch FROM expires_at)::float8 FROM orders"
            return {row[0]: (row[1], row[2]) for row in connection.execute(sa.text(select))}

    def expires_an_order(self) -> None:
        """See that the worker, the one that was started, goes on."""
        order_id = f"alive-{uuid4()}"
        self.place(order_id)
        self.redis.zadd("orders", {order_id: 1})
        wait_until(lambda: self.rows()[order_id][0] == "expired", within=20, why="the worker does not go on")
        assert self.worker.is_running()

    def log(self) -> str:
        return (self.folder / "worker.log").read_text(errors="replace")


@pytest.fixture(scope="module")
def deployment(postgres_server: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("deployment")
    name = "threatened"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    url = str(sa.make_url(postgres_server).set(database=name).render_as_string(hide_password=False))
    with EmbeddedRedis(folder / "redis") as server:
        settings = Settings(redis_url=server.url, database_url=url, sweep_interval=1)
        expiry, engine = OrderExpiry.connect(settings), create_engine(url)
        store = SqlStore(settings, hooks=expiry.hooks, engine=engine)
        store.create_table("text")
        store.create_outbox()
        with (
            Redis.from_url(server.url) as redis,
            Watcher(settings.broker_url) as watcher,
            Connection(settings.broker_url) as broker,
            running("worker", ["celery", "-A", "tasks", "worker", "-l", "INFO"], settings, folder) as worker,
            running("beat", ["celery", "-A", "tasks", "beat"], settings, folder),
        ):
            process = psutil.Process(worker.pid)
            deployment = Deployment(settings, redis, engine, expiry, watcher, broker, process, folder)
            wait_until(lambda: " ready." in deployment.log(), within=30, why="the worker did not start")
            yield deployment
        expiry.close()
        engine.dispose()
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
