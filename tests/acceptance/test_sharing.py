"""Two deployments that share a Redis, by design or by mistake, and what their doctors say."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from orders.store.sql_store import SqlStore
from tests.acceptance.conftest import environment, running, wait_until
from tests.acceptance.test_doctor import examined
from tests.conftest import Shop

WORKER = ["celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO"]
BEAT = ["celery", "-A", "tasks", "beat"]

SHOP_APP = """
import os
from celery import Celery
import tasks

app = Celery("shop", broker=os.environ["ORDERS_REDIS_URL"][:-1] + "5")
app.conf.beat_schedule["shop.report"] = {"task": "shop.report", "schedule": 3600.0}  # reads the configuration
app.conf.accept_content = ["json"]
tasks.install(app)
"""
"""A Celery app of the shop's own, with a broker of its own."""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    # A slow machine may hold up a sweep for some seconds, which is no reason to call a deployment sick.
    return Settings(redis_url=redis_server.url, database_url=database_url, sweep_interval=4.0)


@pytest.fixture
def other(settings: Settings, tmp_path: Path) -> Settings:
    """The settings of another deployment, with the same Redis."""
    folder = tmp_path / "other"
    folder.mkdir()
    changed = Settings(
        redis_url=settings.redis_url, database_url=f"sqlite:///{folder / 'shop.db'}", sweep_interval=4.0, key="other"
    )
    with closing(SqlStore(changed)) as store:
        store.create_table("integer")
        store.create_outbox()
    return changed


def test_two_deployments_on_one_broker_do_not_meet(
    shop: Shop, settings: Settings, other: Settings, redis: Redis, tmp_path: Path
) -> None:
    # given a deployment, and another with its own ORDERS_KEY, whose worker is started with the names of the Procfile
    shop.create("integer")
    named = [*WORKER, "-n", "other@%h", "--queues=orders.sweep,orders.expire,orders.events"]
    shop.place(*range(1, 101), due=-5)
    redis.zadd("other", {f"9000{number}": 1.0 for number in range(100)})
    with ExitStack() as stack:
        for name, command, given in (
            ("worker", WORKER, settings),
            ("beat", BEAT, settings),
            ("other-worker", named, other),
            ("other-beat", BEAT, other),
        ):
            stack.enter_context(running(name, command, given, tmp_path))
        # then each works off its own orders only
        wait_until(lambda: redis.zcard("orders") == 0, within=30, why="orders were left")
        wait_until(lambda: redis.hlen("{other}:attempts") > 0, within=30, why="the other one made no attempt")
        logs = {name: (tmp_path / f"{name}.log").read_text() for name in ("worker", "other-worker")}
        assert not [text for text in logs.values() if "stale" in text]
        assert not re.search(r"(ids=|,|order )9000", logs["worker"])
        # and each doctor sees its own workers only
        assert examined(settings, tmp_path) == (0, {})
        _, found = examined(other, tmp_path)
        assert not [name for name in found if name.startswith("celery")]
        assert "schedule.beat" not in found
    assert not redis.exists("orders.sweep", "orders.expire") or redis.llen("orders.expire") == 0


def test_a_worker_of_another_database_does_not_start(
    shop: Shop, settings: Settings, other: Settings, tmp_path: Path
) -> None:
    # given a deployment whose workers have run, and another that uses its schedule by mistake
    shop.create("integer")
    shop.expiry.ownership.check()
    mistaken = Settings(**other.model_dump(include={"redis_url", "database_url", "sweep_interval"}))
    # when a worker of the other one starts
    ran = subprocess.run(
        [sys.executable, "-m", *WORKER],
        cwd=tmp_path,
        env=environment(mistaken),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # then it ends, and says whose schedule it is
    assert ran.returncode != 0
    assert "ORDERS_KEY is 'orders', the schedule of the table orders of a sqlite database, id " in ran.stderr
    # and the doctor says the same
    status, found = examined(mistaken, tmp_path)
    assert status == 2
    assert "the schedule belongs to the table orders" in found["schedule.owner"]["found"]
    # and one command is the cure, if that was meant
    adopted = subprocess.run(
        [sys.executable, "-m", "orders.cli", "adopt"],
        cwd=tmp_path,
        env=environment(mistaken),
        capture_output=True,
        text=True,
        check=False,
    )
    assert adopted.returncode == 0
    with running("worker", WORKER, mistaken, tmp_path):
        log = tmp_path / "worker.log"
        wait_until(lambda: " ready." in log.read_text(), within=40, why="the worker does not start")


def test_the_doctor_asks_the_app_in_which_the_tasks_are_installed(
    shop: Shop, settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    # given an app of the shop's with another broker, into which the tasks were installed after it was configured
    shop.create("integer")
    (tmp_path / "shop_app.py").write_text(SHOP_APP)
    own = settings.model_copy(update={"hooks": ("shop_app",), "heartbeat_file": str(tmp_path / "alive")})
    given = Settings(**own.model_dump(include={*settings.model_fields_set, "hooks", "heartbeat_file"}))
    shop.place(*range(1, 21), due=-5)
    celery = ["celery", "-A", "shop_app"]
    beat = [*celery, "beat", "-s", str(tmp_path / "beat-schedule")]
    with (
        running("worker", [*celery, "worker", "-c", "2", "-l", "INFO"], given, tmp_path),
        running("beat", beat, given, tmp_path),
    ):
        wait_until(lambda: redis.zcard("orders") == 0, within=30, why="nothing was expired")
        # then the doctor asks its workers, and each process may have a heartbeat file of its own
        assert examined(settings, tmp_path, ORDERS_HOOKS="shop_app") == (0, {})
        # and a doctor that does not know the app says how to let it
        status, found = examined(settings, tmp_path)
        assert status == 2
        assert "if you have installed the tasks in a Celery app of yours" in found["celery.workers"]["advice"]
