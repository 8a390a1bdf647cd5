"""`orders metrics` beside real workers, and a real Prometheus that scrapes it, and judges our rules and dashboard."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis, free_port
from tests.acceptance.conftest import running, wait_until
from tests.conftest import Shop
from tests.unit.test_monitoring import PROMETHEUS, expressions

HOOKS = """
import orders

@orders.guard
def guard(order_id):
    return orders.Answer.PAID if int(order_id) % 3 == 0 else orders.Answer.UNPAID
"""

WORKER = ["celery", "-A", "tasks", "worker", "--beat", "-c", "2"]


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return postgres_url


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(
        redis_url=redis_server.url, database_url=database_url, sweep_interval=1.0, max_attempts=1, hooks=("shop_hooks",)
    )


@pytest.fixture
def prometheus(tmp_path: Path) -> str:
    """The program, from Debian's package."""
    found = shutil.which("prometheus")
    if found is None:
        assert not os.environ.get("CI"), "prometheus is missing"
        pytest.skip("prometheus is not installed")
    return found


@contextmanager
def scraping(program: str, target: str, folder: Path) -> Iterator[str]:
    """Run Prometheus with our configuration, every half second; yield its URL."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    config["rule_files"] = [str(PROMETHEUS / name) for name in config["rule_files"]]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    command = [program, f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb"]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen([*command, f"--web.listen-address={address}"], stdout=log, stderr=log)
    try:
        yield f"http://{address}"
    finally:
        process.terminate()
        process.wait()


def ask(url: str, path: str, **parameters: str) -> object:
    with urlopen(f"{url}/api/v1/{path}?{urlencode(parameters)}", timeout=10) as response:
        answer = json.load(response)
    assert answer["status"] == "success"
    return answer["data"]


def value(url: str, query: str) -> float | None:
    """Return what Prometheus says; None if it says nothing, or does not answer yet."""
    try:
        data = ask(url, "query", query=query)
    except OSError:
        return None
    assert isinstance(data, dict)
    return float(data["result"][0]["value"][1]) if data["result"] else None


def scrape(url: str) -> dict[str, float]:
    """Return the samples without labels, and those with one by name and label."""
    with urlopen(url, timeout=10) as response:
        families = text_string_to_metric_families(response.read().decode())
    return {
        ":".join([sample.name.removeprefix("order_expiry_"), *sample.labels.values()]): sample.value
        for family in families
        for sample in family.samples
    }


def counts(url: str, name: str, number: int) -> None:
    wait_until(lambda: scrape(url)[name] == number, within=30, why=f"{name} is not {number}")


def all_were_a_minute_late(found: dict[str, float], orders: int) -> None:
    assert (found["lateness_seconds_bucket:30.0"], found["lateness_seconds_bucket:300.0"]) == (0, orders)
    assert found["lateness_seconds_count"] == orders
    assert found["lateness_seconds_sum"] == pytest.approx(orders * 75, abs=orders * 45)


def prometheus_agrees(server: str, found: dict[str, float]) -> None:
    for name in ("expired_total", "closed_total", "buried_total", "reconciled_total"):
        query = f"order_expiry_{name} == {found[name]}"
        wait_until(lambda query=query: value(server, query), within=10, why=query)  # type: ignore[misc]


def alert_fires(server: str, name: str) -> None:
    firing = f'ALERTS{{alertname="{name}", alertstate="firing"}}'
    wait_until(lambda: value(server, firing) == 1, within=10, why=f"no alert {name}")


def all_rules_work(server: str) -> None:
    groups = ask(server, "rules")
    assert isinstance(groups, dict)
    assert {rule["health"] for group in groups["groups"] for rule in group["rules"]} == {"ok"}


def test_prometheus_sees_what_real_workers_did(shop: Shop, settings: Settings, prometheus: str, tmp_path: Path) -> None:
    # given orders that a guard knows to be paid or not; ten were never enqueued, one has no row, one is impossible
    (tmp_path / "shop_hooks.py").write_text(HOOKS)
    shop.create("integer")
    placed_at = time.monotonic()
    shop.place(*range(1, 51), due=-60, enqueue=False)
    shop.expiry.enqueue_many((number, None) for number in range(11, 51))
    assert shop.expiry.reconcile().added == 10
    shop.schedule.enqueue([*((str(number), 1.0) for number in range(11, 51)), ("999", 1.0), ("no number", 1.0)])
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    with (
        running("metrics", ["orders.cli", "metrics", "--port", str(port)], settings, tmp_path),
        scraping(prometheus, f"127.0.0.1:{port}", tmp_path) as server,
    ):
        wait_until(lambda: value(server, "order_expiry_due") == 52, within=20, why="Prometheus saw nothing")
        assert 59 < scrape(url)["oldest_overdue_seconds"] < 61 + time.monotonic() - placed_at
        # when a worker has done its work, and has gone
        with running("worker", WORKER, settings, tmp_path):
            for name, number in {"closed": 16, "buried": 1, "missing": 1, "expired": 34}.items():
                counts(url, f"{name}_total", number)
        # then the counters say what the table says
        found = scrape(url)
        assert {shop.status(number) for number in range(3, 51, 3)} == {"paid"}
        assert sum(shop.status(number) == "expired" for number in range(1, 51)) == found["expired_total"]
        assert (found["reconciled_total"], found["dead"], found["oldest_overdue_seconds"]) == (10, 1, 0)
        assert (found["guard_answers_total:paid"], found["guard_answers_total:unpaid"]) == (16, 34)
        all_were_a_minute_late(found, 34)
        # and Prometheus has it, and raises the alert about the dead letter
        prometheus_agrees(server, found)
        alert_fires(server, "OrderExpiryDeadLetters")
        all_rules_work(server)
        # and it can answer whatever the dashboard asks
        for expression in expressions():
            assert ask(server, "query", query=expression)
        # and another worker goes on counting where the first one stopped
        shop.place(61, due=-1)
        with running("worker-2", WORKER, settings, tmp_path):
            counts(url, "expired_total", 35)
    assert shop.status(61) == "expired"
