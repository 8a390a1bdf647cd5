"""A real gateway on this host, and shops that ask it before an order is expired."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from threading import Thread
from typing import Any

import pytest

from orders.expiry.guard import Guard
from tests.conftest import Shop
from tests.gateway import Gateway, payment_guard

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
"""One database is enough where the row is not what matters."""

IMPATIENT = 0.3
"""A time-out in seconds for gateways that will not answer."""


@pytest.fixture(autouse=True)
def _no_question_outlives_its_test() -> Iterator[None]:
    yield
    wait_for_threads()


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with Gateway() as gateway:
        yield gateway


def guard_threads() -> list[Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "orders-guard"]


def wait_for_threads() -> None:
    for thread in guard_threads():
        thread.join(10)


def guarded(shop: Shop, gateway: Gateway, **settings: object) -> Shop:
    """Return the shop with an orders table, and a guard that asks the gateway."""
    shop.create()
    shop.hooks.guard(payment_guard(gateway.url))
    return shop.configured(**settings)


def on_manual_clock(shop: Shop) -> Shop:
    """Have pauses and budgets of the guard pass by the shop's clock."""
    assert shop.hooks.guard_hook
    shop.expiry.guard = Guard(shop.hooks.guard_hook, shop.settings, monotonic=lambda: shop.clock.now().timestamp())
    return shop


def time_passes(shop: Shop) -> None:
    """Let everything that is scheduled be due, retries and leases included."""
    shop.redis.zadd("orders", dict.fromkeys(shop.schedule_as_dict(), 1.0))


def numbered(count: int) -> list[str]:
    return [f"{number:03}" for number in range(count)]


def noted(shop: Shop, order_id: str) -> dict[str, Any]:
    """Return why an order waits, and how often it has, as the schedule has it: without the times."""
    failure = shop.schedule.entry(order_id).failure or {}
    return {name: value for name, value in failure.items() if name not in {"at", "retry_at"}}
