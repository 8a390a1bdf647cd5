"""``orders doctor`` on a deployment of real processes, while it is well and while it is not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from tests.acceptance.conftest import environment, running, wait_until
from tests.conftest import Shop


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=database_url, sweep_interval=1.0)


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
    (tmp_path / "shop_hooks.py").write_text("import orders\n\norders.on_expire(print)\n")
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
    }
    assert "no worker answers for the queue orders.events" in found["celery.workers"]["found"]
    assert "secret" not in json.dumps(found)
