"""A shop whose beat keeps its schedule in the database, with django-celery-beat."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from tests.acceptance.conftest import wait_until
from tests.contrib.django.conftest import Project
from tests.contrib.django.test_celery import ROOT, running

pytest.importorskip("django_celery_beat", reason="see the group scheduler in pyproject.toml")

APP = """
from tests.contrib.django.shop.settings import *

INSTALLED_APPS += ["django_celery_beat"]
"""
"""The settings of the project, with that scheduler."""


def queued(redis: Redis, task: str) -> list[dict[str, Any]]:
    """Return the headers of the messages of a task that wait for a worker, the oldest last."""
    found = [json.loads(message)["headers"] for message in cast("list[bytes]", redis.lrange("orders.sweep", 0, -1))]
    return [headers for headers in found if headers["task"] == task]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_sweeps_do_not_pile_up_without_a_worker(
    project: Project, redis: Redis, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "scheduled.py").write_text(APP)
    path = os.pathsep.join([ROOT, str(tmp_path), os.environ.get("PYTHONPATH", "")])
    settings = {"DJANGO_SETTINGS_MODULE": "scheduled", "PYTHONPATH": path}
    environment = {**os.environ, **settings, "SHOP_DATABASE_URL": database_url}
    migrate = [sys.executable, "-m", "django", "migrate", "django_celery_beat", "--verbosity=0"]
    subprocess.run(migrate, env=environment, cwd=tmp_path, check=True)
    beat = ["beat", "-l", "INFO", "-S", "django_celery_beat.schedulers:DatabaseScheduler"]
    app = ["-A", "tests.contrib.django.shop.celery"]
    with ExitStack() as stack:
        # given beat, and no worker for a while
        stack.enter_context(running("beat", [*app, *beat], project, database_url, tmp_path, **settings))
        wait_until(lambda: len(queued(redis, "orders.sweep")) >= 8, within=60, why="beat sends no sweeps")
        # when a worker comes
        waited = len(queued(redis, "orders.sweep"))
        worker = ["worker", "-c", "2", "-l", "INFO"]
        stack.enter_context(running("worker", [*app, *worker], project, database_url, tmp_path, **settings))
        log = tmp_path / "worker.log"
        wait_until(lambda: not queued(redis, "orders.sweep"), within=60, why="the queue was not emptied")
        wait_until(lambda: log.read_text().count("sweep claimed=") >= 3, within=30, why="nothing was swept")
        # then those that later ones have made void are discarded, not run
        assert log.read_text().count("Discarding revoked task: orders.sweep") >= waited - 5
        assert "NO SWEEP" not in log.read_text()
