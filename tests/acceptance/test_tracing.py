"""OpenTelemetry's spans of real processes, from the request that enqueues to the attempt that expires."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.trace import Span, TracerProvider
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from tests.acceptance.conftest import running, wait_until
from tests.blocks import blocks
from tests.conftest import Shop

Found = dict[str, Any]

GUIDE = Path(__file__).parents[2] / "docs" / "how-to" / "monitor.md"

EXPORTER = """
from pathlib import Path

provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter(
    out=Path("spans.jsonl").open("a", buffering=1), formatter=lambda span: span.to_json(indent=None) + chr(10)
)))
"""


def hooks() -> str:
    """Return what the guide has a shop do when its processes start, with one exporter more."""
    [block] = blocks(GUIDE.read_text())
    return (block.text + EXPORTER).replace("BatchSpanProcessor", "SimpleSpanProcessor")  # which exports at once


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'shop.db'}"


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=database_url, sweep_interval=1.0, hooks=("shop_tracing",))


def test_a_trace_leads_from_the_sweep_to_the_attempt_and_a_link_to_who_enqueued(
    shop: Shop, settings: Settings, redis: Redis, tmp_path: Path
) -> None:
    # given orders of two requests that are recorded, and one of a process that records nothing
    (tmp_path / "shop_tracing.py").write_text(hooks())
    shop.create("integer")
    requests = [place_in_a_span(shop, number) for number in (1, 2)]
    shop.place(3)
    assert redis.hlen("{orders}:traces") == 2
    # when workers, and beat in one of them, expire them
    worker = ["celery", "-A", "tasks", "worker", "--beat", "-c", "4"]
    with running("worker", worker, settings, tmp_path):
        wait_until(lambda: redis.zcard("orders") == 0, within=30, why="orders were not expired")
        wait_until(lambda: len(spans(tmp_path, "run/orders.expire")) == 3, within=10, why="spans are missing")
    # then each message belongs to the trace of the sweep that sent it
    received = spans(tmp_path, "run/orders.expire")
    each_belongs_to_the_sweep_that_sent_it(received, tmp_path)
    # and each attempt to that of a message, with links to those who enqueued its orders
    attempts = spans(tmp_path, "orders.attempt")
    known = by_id(received)
    assert all(attempt["parent_id"] in known for attempt in attempts)
    assert sum(attempt["attributes"]["order_expiry.orders"] for attempt in attempts) == 3
    linked = {link["context"]["trace_id"] for attempt in attempts for link in attempt["links"]}
    assert linked == {f"0x{span.get_span_context().trace_id:032x}" for span in requests}
    # and a message that was expired in the attempt of another points there
    led = {attempt["parent_id"] for attempt in attempts}
    links = [link for span_id, message in known.items() if span_id not in led for link in message["links"]]
    assert len(links) == 3 - len(attempts)
    assert {link["context"]["span_id"] for link in links} <= {attempt["context"]["span_id"] for attempt in attempts}
    # and nothing is left behind
    assert not redis.exists("{orders}:traces")


def place_in_a_span(shop: Shop, number: int) -> Span:
    with TracerProvider().get_tracer("shop").start_as_current_span("checkout") as span:
        assert isinstance(span, Span)
        shop.place(number)
        return span


def each_belongs_to_the_sweep_that_sent_it(received: list[Found], folder: Path) -> None:
    sweeps = by_id(spans(folder, "run/orders.sweep"))
    sent = by_id(spans(folder, "apply_async/orders.expire"))
    assert len(sent) == len(received) == 3
    for message in received:
        sweep = sweeps[sent[message["parent_id"]]["parent_id"]]
        assert sweep["context"]["trace_id"] == message["context"]["trace_id"]


def by_id(found: list[Found]) -> dict[str, Found]:
    return {span["context"]["span_id"]: span for span in found}


def spans(folder: Path, name: str) -> list[Found]:
    file = folder / "spans.jsonl"
    found = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [span for span in found if span["name"] == name]
