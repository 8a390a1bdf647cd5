"""``orders doctor`` on a deployment of real processes, while it is well and while it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from orders.store.sql_store import SqlStore
from tests.acceptance.conftest import environment, running, wait_until
from tests.conftest import Shop

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    # A slow machine may hold up a sweep for some seconds, which is no reason to call a deployment sick.
    return Settings(redis_url=redis_server.url, database_url=database_url, sweep_interval=4.0)


HOOKS = """
import orders

orders.on_expire(print)
orders.condition(lambda table: table.c.id > 0)
"""


def examined(settings: Settings, folder: Path, **changes: str) -> tuple[int, dict[str, Any]]:
    """Return the exit status, and the findings that are not as they should be, by name."""
    command = [sys.executable, "-m", "orders.cli", "doctor", "--json"]
    done = subprocess.run(
        command,
        cwd=folder,
        env={**environment(settings), **changes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stderr == ""
    told = json.loads(done.stdout)
    assert set(told) == {"worst", "findings"}
    assert all(set(found) == {"name", "severity", "found", "advice"} for found in told["findings"])
    return done.returncode, {found["name"]: found for found in told["findings"] if found["severity"] != "ok"}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_deployment_that_is_well_and_then_is_not(shop: Shop, settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "shop_hooks.py").write_text(HOOKS)
    shop.create("integer")
    shop.place(*range(1, 21), due=-5)
    beat = running("beat", ["celery", "-A", "tasks", "beat"], settings, tmp_path)
    worker = ["celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO"]
    with running("worker", worker, settings, tmp_path), beat:
        wait_until(lambda: shop.redis.zcard("orders") == 0, within=30, why="nothing was expired")
        # all is well
        assert examined(settings, tmp_path) == (0, {})
        # a process that has other settings than the workers
        status, found = examined(settings, tmp_path, ORDERS_LEASE="60", ORDERS_HOOKS="shop_hooks")
        assert status == 2
        assert "ORDERS_LEASE 120.0, this process 60.0" in found["celery.agreement"]["found"]
        assert "'on_expire': 0" in found["celery.agreement"]["found"]
        assert "'condition': False" in found["celery.agreement"]["found"]
        # nobody takes what is due: the queue has no worker, beat is dead
    shop.place(100, due=-300)
    shop.schedule.note("swept_at", shop.schedule.now() - 30)
    status, found = examined(settings, tmp_path, ORDERS_DATABASE_URL="postgresql://me:secret@127.0.0.1:1/shop")
    assert status == 2
    assert {name for name in found if name.startswith(("celery", "schedule"))} == {
        "celery.agreement",  # nobody to ask
        "celery.workers",
        "schedule.sweeps",
        "schedule.overdue",
        "schedule.coverage",  # and drift, which the database would have to tell
        "schedule.drift",
        "schedule.owner",
        "schedule.pause",
    }
    told = found["celery.workers"]["found"]  # once for all queues
    assert told.startswith(
        "no worker answers for the queue orders.sweep, to which orders.reconcile, orders.sweep are sent"
    )
    assert told.endswith("; for the queue orders.events, to which orders.deliver, orders.prune are sent")
    assert "-Q orders.sweep,orders.expire,orders.events." in found["celery.workers"]["advice"]
    assert "secret" not in json.dumps(found)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("events", [True, False])
def test_a_worker_on_another_database(shop: Shop, settings: Settings, tmp_path: Path, *, events: bool) -> None:
    # given a worker, with or without a table of events, and a process whose database is another one
    shop.create("integer", events=events)
    other = settings.model_copy(update={"database_url": f"sqlite:///{tmp_path}/other.db"})
    with closing(SqlStore(other)) as store:
        store.create_table("integer")
        if events:
            store.create_outbox()
    worker = ["celery", "-A", "tasks", "worker", "-c", "2", "-l", "INFO", "--hostname=shop@here"]
    log = tmp_path / "worker.log"
    with running("worker", worker, settings, tmp_path):
        wait_until(lambda: b"shop@here ready" in log.read_bytes(), within=30, why="no worker")
        # when its doctor asks, then it says so
        status, found = examined(other, tmp_path)
        assert status == 2
        told = found["celery.agreement"]["found"]
        assert told.startswith("shop@here has the table orders of ")
        assert ", this process the table orders of a sqlite database, " in told
        # and the doctor of the worker's own database does not
        assert "celery.agreement" not in examined(settings, tmp_path)[1]


OTHER_TASKS = """
from celery import Celery
app = Celery("shop", broker="{broker}")
"""


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_module_of_the_shops_own_hides_ours(shop: Shop, settings: Settings, tmp_path: Path) -> None:
    # given a shop with a tasks.py, which is what `celery -A tasks` runs in that folder
    shop.create()
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "tasks.py").write_text(OTHER_TASKS.format(broker=settings.broker_url))
    worker = ["celery", "-A", "tasks", "worker", "--pool=solo", "--hostname=shop@here", "--loglevel=INFO"]
    hidden = f"{folder}/tasks.py hides the package tasks of order-expiry"
    # when it hides ours from the doctor, too, then the other checks run and this one says why it does not
    status, found = examined(settings, folder)
    assert status == 2
    assert "ModuleNotFoundError: No module named 'tasks.checks'" in found["tasks.checks:CHECKS"]["found"]
    assert found["tasks.checks:CHECKS"]["advice"].startswith(hidden)
    assert "schedule.sweeps" in found
    with running("worker", worker, settings, folder):
        wait_until(lambda: b"shop@here ready" in (folder / "worker.log").read_bytes(), within=30, why="no worker")
        # when it does not, then nobody is told to start what runs
        status, found = examined(settings, folder, PYTHONSAFEPATH="1")
        assert found["celery.workers"]["advice"].startswith(hidden)
        # when the doctor is elsewhere, then it tells of the worker
        status, found = examined(settings, tmp_path)
        assert "There are others: shop@here consumes celery." in found["celery.workers"]["advice"]
    # and then the shop is not started without our tasks
    up = [sys.executable, "-m", "orders.cli", "up", "--procfile", str(ROOT / "Procfile")]
    ran = subprocess.run(up, cwd=folder, env=environment(settings), capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert hidden in ran.stderr
