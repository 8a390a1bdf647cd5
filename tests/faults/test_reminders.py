"""Reminders while workers and Redis die: none is lost, none comes twice, and every order expires."""

from __future__ import annotations

import os
import signal
import time

import sqlalchemy as sa

from orders.config.settings import Settings
from orders.expiry.use_cases import OrderExpiry
from tests.faults.deployment import Deployment

BEFORE = 300
"""Seconds before the deadline: longer than a test, so that no reminder may be missing."""

ORDERS, BATCH = 1200, 400


def start(deployment: Deployment) -> None:
    assert deployment.expiry.store.create_outbox()  # type: ignore[attr-defined] # the store on SQL
    deployment.environment["ORDERS_REMIND"] = f"{BEFORE}s"
    deployment.beat()
    deployment.worker()
    deployment.ready()


def place(deployment: Deployment, number: int = ORDERS, *, first: int = 1) -> None:
    """Place orders whose reminders come in the next seconds."""
    values = deployment.settings.model_dump(include=deployment.settings.model_fields_set)
    expiry = OrderExpiry.connect(Settings(**values, remind=[BEFORE]))
    deployment.place(number, first=first, due=BEFORE + 3, spread=6 * number / ORDERS, enqueue=False)
    with deployment.engine.connect() as connection:
        rows = connection.execute(
            sa.text("SELECT id, expires_at FROM orders WHERE id >= :first"), {"first": first}
        ).all()
    expiry.enqueue_many((int(order), deadline) for order, deadline in rows)
    expiry.close()


def reminded(deployment: Deployment) -> list[int]:
    """Return the orders of all reminders."""
    select = sa.text("SELECT order_id FROM order_events WHERE kind = 'reminder'")
    with deployment.engine.connect() as connection:
        return sorted(int(order_id) for order_id in connection.scalars(select))


def until_more_are_reminded(deployment: Deployment, number: int) -> None:
    more = len(reminded(deployment)) + number
    deployment.until(lambda: len(reminded(deployment)) >= more, within=40, why="nobody was reminded")


def finish(deployment: Deployment) -> None:
    """Wait for all reminders, and let the deadlines come."""
    pending = [number for number in range(1, ORDERS + 1) if number % 10]
    deployment.until(lambda: set(reminded(deployment)) >= set(pending), within=40, why="reminders were lost")
    with deployment.engine.begin() as connection:
        connection.execute(sa.text("UPDATE orders SET expires_at = now() WHERE status = 'pending'"))
    deployment.expiry.schedule.enqueue((str(number), time.time()) for number in pending)
    deployment.finish(within=60)
    assert reminded(deployment) == pending


def test_workers_and_redis_killed_while_reminders_come(deployment: Deployment) -> None:
    start(deployment)
    for death in range(3):
        place(deployment, BATCH, first=1 + death * BATCH)  # so that some are left, whatever the last worker has done
        until_more_are_reminded(deployment, 50)
        deployment.kill(deployment.processes[-1])
        if death == 1:
            os.kill(deployment.redis_server.pid, signal.SIGKILL)
            deployment.redis_server.stop()
            deployment.redis_server.start()
        deployment.worker(f"after{death}")
    deployment.breaks()
    finish(deployment)


def test_redis_emptied_while_reminders_come(deployment: Deployment) -> None:
    start(deployment)
    place(deployment)
    until_more_are_reminded(deployment, 50)
    deployment.redis.flushall()
    deployment.breaks()
    finish(deployment)
