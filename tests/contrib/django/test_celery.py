"""Real workers and a real beat in a Django project: beside the shop's own Celery app, and in it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from django.db import transaction
from redis import Redis

from tests.acceptance.conftest import wait_until
from tests.contrib.django.conftest import Project
from tests.contrib.django.shop.models import Order, Product

ROOT = str(Path(__file__).parents[3])


@contextmanager
def running(name: str, command: list[str], project: Project, url: str, folder: Path, **changes: str) -> Iterator[None]:
    """Run Celery as the shop does, with its output in a file."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.contrib.django.shop.settings",
        "PYTHONPATH": ROOT,
        "SHOP_DATABASE_URL": url,
        "SHOP_REDIS_URL": project.redis_url,
        **changes,
    }
    log = folder / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", *command], cwd=folder, env=environment, stdout=output, stderr=output
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        sys.stdout.write(log.read_text(errors="replace")[-5000:])  # shown if the test fails


@pytest.mark.parametrize("app", ["tasks", "tests.contrib.django.shop.celery"], ids=["beside", "inside"])
@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_workers_and_beat_expire_what_a_checkout_has_committed(
    project: Project, database_url: str, redis: Redis, app: str, tmp_path: Path
) -> None:
    expiry, alias = project.expiry(SWEEP_INTERVAL=1), project.alias
    with ExitStack() as stack:
        for name, options in (("worker", ["-c", "2", "-l", "INFO"]), ("beat", ["-s", str(tmp_path / "beat")])):
            stack.enter_context(running(name, ["-A", app, name, *options], project, database_url, tmp_path))
        # given orders that were placed in transactions, one of which was rolled back
        with transaction.atomic(using=alias):
            orders = [project.place(expiry, due=2, units=2) for _ in range(3)]
            paid = project.place(expiry, due=6)  # long enough to pay it while the processes start
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=alias):  # noqa: PT012
            project.place(expiry, due=2)
            1 / 0  # noqa: B018
        assert expiry.pay(paid.pk).is_accepted
        # when their deadlines pass
        wait_until(lambda: redis.zcard("orders") == 0, within=30, why="orders were left in the schedule")
        # then they are expired, their stock is back, and the events are handled: all by the ORM
        wait_until(
            lambda: Product.objects.using(alias).filter(name__startswith="expired ").count() == 3,
            within=20,
            why="events were not delivered",
        )
        if app != "tasks":  # and the shop's own tasks run as before
            Product.objects.using(alias).create(name="coffee")
            send = ["-b", project.redis_url, "call", "shop.restock"]
            subprocess.run([sys.executable, "-m", "celery", *send], check=True, capture_output=True, timeout=120)
            wait_until(
                lambda: Product.objects.using(alias).get(name="coffee").stock == 100, within=20, why="it did not run"
            )
    assert [project.status(order) for order in (*orders, paid)] == ["expired"] * 3 + ["paid"]
    assert project.stock() == 6
    assert Order.objects.using(alias).count() == 4
    assert "Traceback" not in (tmp_path / "worker.log").read_text()


def test_a_web_process_that_installs_our_tasks_keeps_its_own_app(tmp_path: Path) -> None:
    # given a web server that imports our tasks before it makes its own app
    source = (
        "import tasks, celery, threading\n"
        "app = celery.Celery('shop', broker='memory://')\n"
        "tasks.install(app)\n"
        "seen = []\n"
        "thread = threading.Thread(target=lambda: seen.append(celery.current_app.main))\n"
        "thread.start(); thread.join()\n"
        "assert (celery.current_app.main, seen) == ('shop', ['shop']), seen\n"
        "assert 'orders.sweep' in app.tasks and app.tasks['orders.sweep'].app is app\n"
        "assert tasks.sweep.app.main == 'orders'\n"
        "names = [queue.name for queue in app.conf.task_queues]\n"
        "assert names == ['celery', 'orders.sweep', 'orders.expire', 'orders.events'], names\n"
        "assert app.amqp.router.route({}, 'orders.expire')['queue'].name == 'orders.expire'\n"
        "assert app.amqp.router.route({}, 'shop.restock')['queue'].name == 'celery'\n"
        "assert 'orders.sweep' in app.conf.beat_schedule\n"
    )
    environment = {"PYTHONPATH": ROOT}
    ran = subprocess.run(
        [sys.executable, "-c", source], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
