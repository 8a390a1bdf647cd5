"""A Django project that has a package `orders`, a module `tasks` and a `celeryconfig` of its own."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager

import pytest

from tests.acceptance.conftest import wait_until
from tests.acceptance.second_name.conftest import Project, environment

pytestmark = pytest.mark.faults


@contextmanager
def celery(project: Project, command: str) -> Iterator[None]:
    """Run a process of Celery, with its output in a file."""
    log = project.folder / f"{command}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [project.installed.folder / "bin" / "python", "-m", "celery", "-A", "order_expiry.tasks", command],
            cwd=project.folder,
            env=environment(project.settings),
            stdout=output,
            stderr=output,
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)
        sys.stdout.write(log.read_text(errors="replace")[-5000:])  # shown if the test fails


def rows(project: Project) -> dict[int, tuple[str, bool]]:
    with closing(sqlite3.connect(project.folder / "shop.db")) as database:
        return {
            id_: (status, bool(back))
            for id_, status, back in database.execute("SELECT id, status, is_given_back FROM orders_order")
        }


def test_orders_of_a_shop_with_an_app_orders_expire(project: Project) -> None:
    # given a shop whose migrations are complete
    assert "order_expiry.0001_initial" in project.run("python", "manage.py", "migrate")
    assert "No changes" in project.run("python", "manage.py", "makemigrations", "--check", "--dry-run")
    assert "no issues" in project.run(
        "python", "manage.py", "check", "--deploy", "--tag", "order_expiry", "--database", "default"
    )
    with ExitStack() as stack:
        for command in ("worker", "beat"):
            stack.enter_context(celery(project, command))
        # when it places orders, of which one is paid
        told = json.loads(project.run("python", "checkout.py"))
        assert told["verdict"] == "accepted"
        assert told["pages"] == [200, 200]
        # and a process that uses the other name schedules one more
        with closing(sqlite3.connect(project.folder / "shop.db")) as database, database:
            database.execute("INSERT INTO orders_order VALUES (100, 'pending', '2020-01-01 00:00:00', 0)")
        others = {"ORDERS_TABLE": "orders_order", "ORDERS_DATABASE_URL": f"sqlite:///{project.folder}/shop.db"}
        ran = project.installed.run(
            "orders",
            "enqueue",
            "100",
            "--timeout",
            "0",
            cwd=project.folder,
            ORDERS_REDIS_URL=project.redis_url,
            **others,
        )
        assert ran.returncode == 0, ran.stderr
        # then the others expire, with the shop's hook
        expired = dict.fromkeys((*told["expiring"], 100), ("expired", True))
        wait_until(lambda: rows(project) == {**expired, told["paid"]: ("paid", False)}, within=60, why="not expired")
        _commands_work(project, told["expiring"][0])
    assert "Traceback" not in (project.folder / "worker.log").read_text()


def _commands_work(project: Project, order_id: int) -> None:
    """Check the commands of the second name, while a worker runs."""
    findings = json.loads(
        project.installed.run("order-expiry", "doctor", "--json", cwd=project.folder, **project.settings).stdout
    )
    celerys = {
        (found["name"], found["severity"]) for found in findings["findings"] if found["name"].startswith("celery")
    }
    assert celerys == {
        ("celery.queues", "ok"),
        ("celery.workers", "ok"),
        ("celery.beat", "ok"),
        ("celery.agreement", "ok"),
    }
    for verb in (["order-expiry"], ["python", "-m", "order_expiry.cli"], ["python", "manage.py", "orders"]):
        assert "expired" in project.run(*verb, "explain", str(order_id))
