"""The shop's hooks in real workers: found by ORDERS_HOOKS, run where they belong."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from tests.acceptance.conftest import Watcher, environment, running, wait_until
from tests.conftest import Shop

HOOKS = """
import sqlalchemy as sa
import orders

RELEASE = sa.text("UPDATE stock SET units = units + 1")
SEEN = sa.text("INSERT INTO seen VALUES (:id, :order_id, :kind)")
engine = sa.create_engine(orders.Settings().database_url)

@orders.on_expire
def release(session, order_ids):
    for order_id in order_ids:
        session.execute(RELEASE)

@orders.guard
def ask(order_id):
    return orders.Answer.PAID if order_id == "7" else orders.Answer.UNPAID

@orders.on_event
def see(event):
    with engine.begin() as connection:
        connection.execute(SEEN, {"id": event.id, "order_id": event.order_id, "kind": event.kind})
"""


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=database_url, sweep_interval=1.0, hooks=("order_hooks",))


def told(watcher: Watcher) -> str:
    """Return the results of deliveries, as events have them."""
    return "\n".join(event["result"] for event in watcher.of("task-succeeded", "orders.deliver"))


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_workers_release_stock_ask_the_guard_and_deliver_events(
    shop: Shop, settings: Settings, watcher: Watcher, tmp_path: Path
) -> None:
    # given a shop with hooks
    (tmp_path / "order_hooks.py").write_text(HOOKS)
    shop.create("integer")
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE stock (units int)")
        connection.exec_driver_sql("INSERT INTO stock VALUES (0)")
        connection.exec_driver_sql("CREATE TABLE seen (id bigint, order_id text, kind text)")
    shop.place(*range(1, 21), due=1)
    # when workers expire its orders
    with (
        running("worker", ["celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO"], settings, tmp_path),
        running("beat", ["celery", "-A", "tasks", "beat"], settings, tmp_path),
    ):
        wait_until(lambda: count(shop, "seen") >= 20, within=40, why="the events were not delivered")
        # (Flower hears of it a moment later)
        wait_until(lambda: "'delivered': " in told(watcher), within=10, why="no event tells what was delivered")
    # then stock returned once for each, the guard's order is paid, and the handlers heard of all
    assert count(shop, "stock WHERE units = 19") == 1
    assert (shop.status(7), shop.score("7")) == ("paid", None)
    assert count(shop, "seen") == count(shop, "(SELECT DISTINCT id FROM seen) AS events") == 20
    assert count(shop, "seen WHERE kind = 'expired'") == 19
    assert count(shop, "seen WHERE kind = 'paid' AND order_id = '7'") == 1


def count(shop: Shop, rows: str) -> int:
    with shop.engine.begin() as connection:
        return int(connection.scalar(sa.text(f"SELECT count(*) FROM {rows}")) or 0)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_worker_without_its_hooks_does_not_start(shop: Shop, settings: Settings, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "-c", "1"]
    ran = subprocess.run(
        command, cwd=tmp_path, env=environment(settings), capture_output=True, text=True, check=False, timeout=120
    )
    assert ran.returncode != 0
    assert "ORDERS_HOOKS names 'order_hooks', but importing it failed" in ran.stderr
