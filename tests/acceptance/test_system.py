"""The whole road, on real processes: what an application enqueues, Celery expires."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from tests.acceptance.conftest import Watcher, running, wait_until
from tests.conftest import Shop


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=database_url, sweep_interval=1.0)


def place_300(shop: Shop) -> None:
    shop.create("integer")
    for number in range(1, 301):
        shop.place(number, due=4 + number / 75, enqueue=number > 10)
    for number in range(1, 11):
        shop.redis.zadd("orders", {str(number): (datetime.now(UTC) + timedelta(seconds=3)).timestamp()})
    for number in range(3, 301, 3):
        shop.change(number, status="paid")


def count_by_status(shop: Shop) -> dict[str, int]:
    with shop.engine.begin() as connection:
        rows = connection.execute(sa.text("SELECT status, count(*) AS number FROM orders GROUP BY status"))
        return {row.status: row.number for row in rows}


def each_order_is_in_a_line_of(log: str) -> None:
    told = re.findall(r"expire \{(.*)\} lease=[\d.]+ ids=([\d,]+)", log)
    assert {int(order_id) for _, order_ids in told for order_id in order_ids.split(",")} == set(range(1, 301))
    assert sum(int(count) for counts, _ in told for count in re.findall(r"'expired': (\d+)", counts)) == 200


def test_worker_and_beat_expire_each_order_once_with_one_task(
    shop: Shop, settings: Settings, redis: Redis, watcher: Watcher, tmp_path: Path
) -> None:
    # given 300 orders with deadlines over some seconds, a third of them paid, ten scheduled by a bare ZADD
    place_300(shop)
    # when a worker and beat run
    with (
        running("worker", ["celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO"], settings, tmp_path),
        running("beat", ["celery", "-A", "tasks", "beat", "-l", "INFO"], settings, tmp_path),
    ):
        wait_until(lambda: redis.zcard("orders") == 0, within=60, why="orders were left in the schedule")
        wait_until(
            lambda: len(watcher.of("task-succeeded", "orders.expire")) >= 300, within=10, why="events are missing"
        )
    # then every row ended as it must
    assert count_by_status(shop) == {"paid": 100, "expired": 200}
    # and each order was one task, no more
    received = watcher.of("task-received", "orders.expire")
    order_ids = [found[1] for event in received if (found := re.match(r"\('(\d+)',\)", event["args"]))]
    per_order = Counter(order_ids)
    early = {order_id for order_id, count in per_order.items() if count > 1}
    assert early <= {str(number) for number in range(1, 11)}  # the ZADDs above were earlier than their rows
    assert set(per_order) == {str(number) for number in range(1, 301)}
    assert watcher.of("task-failed") == []
    assert watcher.of("task-retried") == []
    # and results say what was done
    results = Counter(event["result"] for event in watcher.of("task-succeeded", "orders.expire"))
    assert results["{'expired': 1}"] == 200
    assert results["{'closed': 1}"] == 100
    swept = [json.loads(event["result"].replace("'", '"')) for event in watcher.of("task-succeeded", "orders.sweep")]
    assert sum(sweep["claimed"] for sweep in swept) == len(received)
    assert set(swept[0]) == {"claimed", "sent", "seconds"}
    # and the logs have a line for each
    log = (tmp_path / "worker.log").read_text()
    assert len(re.findall(r"sweep claimed=\d+ sent=\d+ seconds=\d", log)) == len(swept)
    each_order_is_in_a_line_of(log)
    assert "Traceback" not in log


def test_a_database_that_is_missing_its_table_fails_visibly_and_loses_nothing(
    shop: Shop, settings: Settings, redis: Redis, watcher: Watcher, tmp_path: Path
) -> None:
    shop.expiry.enqueue("42", timeout=0)
    with (
        running("worker", ["celery", "-A", "tasks", "worker", "-c", "1", "-l", "INFO"], settings, tmp_path),
        running("beat", ["celery", "-A", "tasks", "beat"], settings, tmp_path),
    ):
        wait_until(lambda: watcher.of("task-failed"), within=30, why="nothing failed")
        [failed, *_] = watcher.of("task-failed")
        assert "the database has no such table" in failed["exception"]
        assert "Traceback" in failed["traceback"]
        assert redis.zcard("orders") == 1
        # and when the table is there, so is the order's end
        shop.create()
        shop.place("42", enqueue=False)
        wait_until(lambda: redis.zcard("orders") == 0, within=30, why="the order was not tried again")
    assert shop.status("42") == "expired"
