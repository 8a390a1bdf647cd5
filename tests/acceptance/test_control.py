"""What a worker tells of the messages it has, and what it does with them when it is told to stop."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from tests.acceptance.conftest import Watcher, running, wait_until
from tests.conftest import Shop

NUMBER = 300
"""Orders: more than a worker begins and has at hand."""

BLOCKING = """
import time
from pathlib import Path
import orders

@orders.on_expire
def wait(session, order_ids):
    while not Path("go").exists():
        time.sleep(0.02)
"""
"""A shop whose attempts end when a file is there."""

POOLS = ["threads", "prefork"]


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=database_url, hooks=("blocking",))


@pytest.fixture
def control(settings: Settings) -> Iterator[Any]:
    app = Celery(broker=settings.redis_url, set_as_current=False)
    yield app.control
    app.close()


@contextmanager
def blocked(
    pool: str, shop: Shop, settings: Settings, watcher: Watcher, folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker that has begun some of the orders, has some at hand, and has left some in the queue."""
    (folder / "blocking.py").write_text(BLOCKING)
    shop.create("integer")
    shop.audit()
    shop.place(*range(1, NUMBER + 1))
    command = ["celery", "-A", "tasks", "worker", "-P", pool, "-c", "2", "-l", "INFO"]
    with running("worker", command, settings, folder) as worker:
        wait_until(lambda: "ready." in (folder / "worker.log").read_text(), within=30, why="the worker did not start")
        app = Celery(broker=settings.redis_url, set_as_current=False)
        app.send_task("orders.sweep", queue="orders.sweep")
        app.close()
        try:
            stands_still(watcher, shop.redis)
            yield worker
        finally:
            (folder / "go").touch()


def of(watcher: Watcher, kind: str) -> set[str]:
    """Return the ids of the tasks that such an event told of."""
    return {event["uuid"] for event in watcher.of(kind, "orders.expire")}


def stands_still(watcher: Watcher, redis: Redis) -> None:
    """Wait until all is sent, the worker has as much as it takes, and a second has passed without an event."""
    seen: list[int] = []

    def is_still() -> bool:
        received, started = (len(of(watcher, kind)) for kind in ("task-received", "task-started"))
        seen.append(received + started)
        is_told = redis.llen("orders.expire") + received == NUMBER
        return is_told and received > started > 0 and len(seen) > 20 and len(set(seen[-20:])) == 1

    wait_until(is_still, within=30, why="the worker did not begin, or went on")


@pytest.mark.parametrize("pool", POOLS)
def test_what_a_worker_tells_is_true(
    pool: str, shop: Shop, settings: Settings, watcher: Watcher, control: Any, tmp_path: Path
) -> None:
    with blocked(pool, shop, settings, watcher, tmp_path):
        inspect = control.inspect(timeout=20, limit=1)
        [active], [reserved], [stats] = (told().values() for told in (inspect.active, inspect.reserved, inspect.stats))
        begun, at_hand = ({task["id"] for task in told} for told in (active, reserved))
        assert begun == of(watcher, "task-started")
        assert at_hand == of(watcher, "task-received") - begun
        assert begun
        assert at_hand
        assert stats["total"]["orders.expire"] == len(begun)
        # and one that is revoked meanwhile is not begun
        revoked, order_id = next((task["id"], task["args"][0]) for task in reserved)
        control.revoke(revoked)
        wait_until(lambda: revoked in next(iter(inspect.revoked().values())), within=10, why="it was not revoked")
        (tmp_path / "go").touch()
        others = NUMBER - 1
        wait_until(lambda: len(of(watcher, "task-succeeded")) == others, within=30, why="the others were not done")
        assert of(watcher, "task-revoked") == {revoked}
    assert shop.status(int(order_id)) == "pending"
    assert shop.redis.zrange("orders", 0, -1) == [order_id.encode()]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGQUIT], ids=["warm", "cold"])
def test_what_a_worker_has_not_begun_goes_back_when_it_stops(
    pool: str, how: signal.Signals, shop: Shop, settings: Settings, watcher: Watcher, tmp_path: Path
) -> None:
    with blocked(pool, shop, settings, watcher, tmp_path) as worker:
        begun = of(watcher, "task-started")
        worker.send_signal(how)
        wait_until(lambda: "shutdown" in (tmp_path / "worker.log").read_text(), within=20, why="it was not told")
        (tmp_path / "go").touch()
        assert worker.wait(60) is not None
    left = shop.redis.llen("orders.expire")
    assert left == NUMBER - len(begun)
    expired = len(shop.changes())
    assert expired == len(begun) if how is signal.SIGTERM else expired <= len(begun)


SLOW_GUARD = """
import time
import orders

@orders.guard
def ask(order_id):
    time.sleep(1)
    return orders.Answer.UNPAID
"""


def test_a_worker_whose_guard_is_slow_leaves_work_for_the_other(
    shop: Shop, redis_server: EmbeddedRedis, database_url: str, watcher: Watcher, tmp_path: Path
) -> None:
    # given two workers, and as many orders as one of them could take at once
    (tmp_path / "slow_guard.py").write_text(SLOW_GUARD)
    url = redis_server.url
    settings = Settings(redis_url=url, database_url=database_url, hooks=("slow_guard",), guard_parallel=4)
    shop.create("integer")
    shop.place(*range(1, 101))
    worker = ["celery", "-A", "tasks", "worker", "-l", "INFO", "-n"]
    with (
        running("one", [*worker, "one@%h"], settings, tmp_path),
        running("two", [*worker, "two@%h"], settings, tmp_path),
    ):
        logs = [tmp_path / "one.log", tmp_path / "two.log"]
        wait_until(lambda: all("ready." in log.read_text() for log in logs), within=30, why="they did not start")
        # when all of them fall due
        app = Celery(broker=settings.redis_url, set_as_current=False)
        app.send_task("orders.sweep", queue="orders.sweep")
        app.close()
        wait_until(lambda: len(of(watcher, "task-succeeded")) == 100, within=60, why="orders were left")
    # then each has done its part
    done = Counter(event["hostname"].partition("@")[0] for event in watcher.of("task-succeeded", "orders.expire"))
    assert min(done["one"], done["two"]) >= 30
