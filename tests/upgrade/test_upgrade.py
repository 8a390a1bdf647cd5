"""What earlier releases left in Redis, in the broker and in the database, and the workers of this one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from base64 import b64decode
from pathlib import Path
from typing import cast

import pytest
from redis import Redis

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from orders.events import EventKind
from tests.acceptance.conftest import PATIENCE, environment, running
from tests.conftest import Shop
from tests.upgrade.release import Release

BATCH = {f"batch-{number}" for number in range(1, 7)}
NOW_EXPIRED = {"due", "soon", "zadd", "lost", "killed", "retry", "dead", *BATCH}
"""What this release has to expire."""

HOOKS = """
import orders

@orders.on_event
def note(event):
    with open("delivered", "a") as file:
        file.write(f"{event.id} {event.order_id} {event.kind.value}\\n")
"""

KEYS = {"orders", *(f"{{orders}}:{name}" for name in ("attempts", "failures", "dead", "leases", "stats", "delivering"))}
"""What the release before this one knows of."""

UNKNOWN = {"{orders}:history"}
"""What it does not know of, and what nothing but plots depends on: the history."""


@pytest.fixture
def release(request: pytest.FixtureRequest) -> Release:
    return Release(request.param)


@pytest.fixture
def database_url(release: Release, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if release.left["database"] == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    return str(request.getfixturevalue("postgres_url"))


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=database_url, sweep_interval=1, hooks=("notes",))


@pytest.mark.parametrize("release", ["first", "before_shards"], indirect=True)
def test_what_a_release_left_ends_as_it_must(
    release: Release, shop: Shop, redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    # given what it left, and the tables as `orders init-db` upgrades them
    release.restore(redis, shop.engine)
    had_events = "order_events" in release.left["tables"]
    assert shop.store.create_outbox() is not had_events
    counted = shop.schedule.stats().get("expired", 0)
    # then this release reads its dead letter, which an operator has tried again
    assert {order_id: letter["reason"] for order_id, letter in shop.schedule.dead()} == {
        "dead": "the table has no such row"
    }
    assert shop.schedule.retry(["dead"]) == ["dead"]
    # and when a worker of this release starts, while the other's beat goes on
    (tmp_path / "notes.py").write_text(HOOKS)
    delivered = tmp_path / "delivered"
    with running("worker", ["celery", "-A", "tasks", "worker", "-c", "4", "-l", "INFO"], settings, tmp_path):
        _resend_until_all_has_ended(release, shop, delivered, events=len(NOW_EXPIRED) + 2 if had_events else 0)
    # then each order ended as it must, once, and not before its deadline
    _each_order_ended_as_it_must(shop)
    _each_expired_once_and_in_time(release, shop)
    assert shop.schedule.stats()["expired"] == counted + len(NOW_EXPIRED)
    # and what is due later is scheduled for then
    expected = {order_id: release.deadline(order_id) for order_id in ("later", "extended")}
    assert shop.schedule_as_dict() == pytest.approx(expected, abs=1e-5)
    assert redis.exists("{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0
    # and no message was refused, and an older release could go on from here
    assert "Traceback" not in (tmp_path / "worker.log").read_text()
    _older_release_knows_every_key(redis)
    # and what it wrote down of money still counts
    if had_events:
        assert shop.kinds("told") == ["expired"]
        assert shop.expiry.pay("bought", reference="ch_1").refund_key is None
        assert shop.expiry.pay("bought", reference="ch_2").refund_key
        events = delivered.read_text().splitlines()
        assert len(events) == len(set(events)) == len(NOW_EXPIRED) + 2


def _resend_until_all_has_ended(release: Release, shop: Shop, delivered: Path, *, events: int) -> None:
    give_up = time.monotonic() + 30 * PATIENCE
    while not _has_ended(shop, delivered, events):
        assert time.monotonic() < give_up, shop.schedule_as_dict()
        release.resend(shop.redis)
        time.sleep(0.5)  # half of its interval


def _has_ended(shop: Shop, delivered: Path, events: int) -> bool:
    told = delivered.read_text().count("\n") if delivered.exists() else 0
    return set(shop.schedule_as_dict()) == {"later", "extended"} and told >= events


def _each_order_ended_as_it_must(shop: Shop) -> None:
    states = {
        order_id: shop.status(order_id) for order_id in (*NOW_EXPIRED, "told", "paid", "bought", "later", "extended")
    }
    assert {order_id for order_id, status in states.items() if status == "expired"} == {*NOW_EXPIRED, "told"}
    assert [states[order_id] for order_id in ("paid", "bought", "later", "extended")] == ["paid"] * 2 + ["pending"] * 2


def _each_expired_once_and_in_time(release: Release, shop: Shop) -> None:
    for order_id in NOW_EXPIRED:
        [event] = shop.events(order_id)
        assert event.kind is EventKind.EXPIRED
        assert event.at.timestamp() >= release.deadline(order_id)


def _older_release_knows_every_key(redis: Redis) -> None:
    assert {key.decode() for key in cast("list[bytes]", redis.keys("*orders*")) if b":" in key} <= KEYS | UNKNOWN
    assert all(float(number) >= 0 for number in cast("dict[bytes, bytes]", redis.hgetall("{orders}:stats")).values())


@pytest.mark.parametrize("release", ["before_shards"], indirect=True)
def test_messages_are_such_that_an_older_worker_takes_them(
    release: Release, shop: Shop, redis: Redis, settings: Settings, tmp_path: Path
) -> None:
    # given an order that is due, and no shards
    shop.create()
    shop.place("due")
    (tmp_path / "notes.py").write_text(HOOKS)
    # when this release sweeps
    script = "import tasks; tasks.sweep()"
    subprocess.run([sys.executable, "-c", script], env=_environment(settings, tmp_path), cwd=tmp_path, check=True)
    # then its message has the arguments, headers and properties that the older release's had, and no more
    [sent] = [json.loads(message) for message in cast("list[bytes]", redis.lrange("orders.expire", 0, -1))]
    [recorded] = [message for message in release.messages() if message["body"][0] == ["due"]]
    order_ids, named, embedded = json.loads(b64decode(sent["body"]))
    assert (order_ids, set(named), embedded) == (["due"], {"lease"}, recorded["body"][2])
    assert set(sent["headers"]) == set(recorded["headers"])
    assert set(sent["properties"]) == set(recorded["properties"])
    assert sent["properties"]["delivery_info"] == recorded["properties"]["delivery_info"]
    assert sent["content-type"] == recorded["content-type"]


def _environment(settings: Settings, folder: Path) -> dict[str, str]:
    given = environment(settings)
    return {**given, "PYTHONPATH": os.pathsep.join(filter(None, [str(folder), given.get("PYTHONPATH")]))}
