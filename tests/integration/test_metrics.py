"""What is served when servers are down, hang or are several; see also tests/acceptance/test_metrics.py."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from orders.cli.metrics import metrics
from orders.embedded import free_port
from orders.errors import ConfigError
from orders.expiry.use_cases import OrderExpiry
from orders.operate.metrics import METRICS, OrdersCollector
from orders.schedule.counters import BOUNDS, lateness
from orders.schedule.shards import ShardedSchedule
from tests.conftest import Shop

OF_DATABASE = {"order_expiry_kept", "order_expiry_oldest_overdue_seconds"}
OF_BROKER = {"order_expiry_backlog"}
UP = {"order_expiry_up"}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def hanging() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def served(expiry: OrderExpiry, *, limit: float = 3.0) -> dict[str, dict[str, float]]:
    """Return what one scrape gives, as Prometheus reads it: by name, and by label."""
    registry = CollectorRegistry()
    registry.register(OrdersCollector(expiry, limit=limit))
    samples: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            samples.setdefault(sample.name, {})["".join(sample.labels.values())] = sample.value
    return samples


def test_all_that_is_described_is_served(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-100)
    shop.schedule.note_run("orders.sweep", is_rescue=False)
    assert shop.claim_and_expire() == {"expired": 1}
    shop = shop.configured(webhook_url="https://erp.example.com", webhook_secret=f"whsec_{'QUJD' * 11}")
    shop.store.deliveries.fan_out("erp.example.com", look_back=1, limit=1)
    names = served(shop.expiry)
    described = {metric.full_name for metric in METRICS if metric.kind != "histogram"}
    parts = {f"order_expiry_lateness_seconds_{part}" for part in ("bucket", "count", "sum")}
    assert set(names) == described | parts
    assert names["order_expiry_up"] == {"redis": 1, "database": 1, "broker": 1}
    assert names["order_expiry_expired_total"] == {"": 1}
    assert names["order_expiry_lateness_seconds_bucket"]["60.0"] == 0
    assert names["order_expiry_lateness_seconds_bucket"]["300.0"] == 1
    assert names["order_expiry_lateness_seconds_sum"][""] == pytest.approx(100, abs=60)


def test_the_oldest_overdue_order_is_that_of_the_table(shop: Shop) -> None:
    # also if it was never enqueued; one that is paid, or in its grace, is not overdue
    shop.create()
    shop.place("42", due=-5000, status="paid")
    assert served(shop.expiry)["order_expiry_oldest_overdue_seconds"] == {"": 0}
    shop.place("43", due=-1000, enqueue=False)
    shop.place("44", due=-500)
    assert served(shop.expiry)["order_expiry_oldest_overdue_seconds"][""] == pytest.approx(1000, abs=60)
    assert served(shop.configured(grace=2000).expiry)["order_expiry_oldest_overdue_seconds"] == {"": 0}


def test_a_redis_that_is_down_takes_away_its_own_metrics_only(shop: Shop) -> None:
    shop.create()
    down = f"redis://127.0.0.1:{free_port()}/0"
    names = served(OrderExpiry.connect(shop.settings.model_copy(update={"redis_url": down, "broker_url": down})))
    assert set(names) == OF_DATABASE | UP
    assert names["order_expiry_up"] == {"redis": 0, "database": 1, "broker": 0}


def test_a_server_that_hangs_holds_up_no_scrape(shop: Shop, hanging: int) -> None:
    shop.create()
    url = f"redis://127.0.0.1:{hanging}/0?socket_timeout=5"
    collector = OrdersCollector(OrderExpiry.connect(shop.settings.model_copy(update={"redis_url": url})), limit=0.3)
    registry = CollectorRegistry()
    registry.register(collector)
    for _ in range(2):  # the second waits for the question that hangs, and asks no other
        began = time.monotonic()
        answer = generate_latest(registry).decode()
        assert time.monotonic() - began < 4
        assert 'order_expiry_up{store="redis"} 0.0' in answer
        assert 'order_expiry_up{store="database"} 1.0' in answer


def test_without_its_table_the_database_counts_as_down(shop: Shop) -> None:
    names = served(shop.expiry)
    assert names["order_expiry_up"] == {"redis": 1, "database": 0, "broker": 1}
    assert not set(names) & OF_DATABASE


def test_the_backlog_of_another_broker_is_its_own_to_tell(shop: Shop) -> None:
    shop.create()
    names = served(shop.configured(broker_url="amqp://localhost//").expiry)
    assert names["order_expiry_up"] == {"redis": 1, "database": 1}
    assert not set(names) & OF_BROKER


def test_shards_are_added_up(shop: Shop) -> None:
    shop.create()
    settings = shop.settings.model_copy(update={"shards": 3})
    expiry = OrderExpiry(settings, ShardedSchedule(shop.redis, settings), shop.store)
    shop.place(*map(str, range(20)), enqueue=False)
    expiry.schedule.enqueue((str(number), 1.0) for number in range(20))
    for shard in expiry.schedule.shards:
        claim = shard.claim(100)
        expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease, shard=shard.number)
    names = served(expiry)
    assert names["order_expiry_expired_total"] == {"": 20}
    assert names["order_expiry_lateness_seconds_count"] == {"": 20}


def test_each_task_says_whether_a_worker_stands_in_for_beat(shop: Shop) -> None:
    shop.schedule.note_run("orders.sweep", is_rescue=True)
    shop.schedule.note_run("orders.prune", is_rescue=False)
    [silent] = [each for each in OrdersCollector(shop.expiry).collect() if each.name == "order_expiry_beat_silent"]
    assert {each.labels["task"]: each.value for each in silent.samples} == {"orders.sweep": 1.0, "orders.prune": 0.0}


def test_lateness_is_counted_up_to_each_bound() -> None:
    assert lateness([]) == {}
    assert lateness([0.0, 0.005, 0.0051, 1e9]) == {
        "lateness_to_0.005": 2,
        "lateness_to_0.01": 1,
        "lateness_to_inf": 1,
        "lateness_microseconds": 1_000_000_000_010_100,
    }
    assert sorted(BOUNDS) == list(BOUNDS)


def test_the_command_says_what_it_lacks(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orders.process._current", shop.expiry)
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="cannot listen there"):
        metrics(port=taken.getsockname()[1])
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(ConfigError, match=r"install order-expiry\[metrics\]"):
        metrics()
