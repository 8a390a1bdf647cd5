"""A Django project with its admin site, on a database and a Redis of the test's own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from orders import process
from orders.embedded import EmbeddedRedis
from orders.expiry.use_cases import OrderExpiry
from orders.operate import links
from tests.contrib.django import adapter

adapter.start()

from django.conf import settings as django_settings  # noqa: E402
from django.contrib.admin.utils import quote  # noqa: E402
from django.contrib.auth.models import Permission, User  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connections  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import setup_test_environment, teardown_test_environment  # noqa: E402
from django.urls import reverse  # noqa: E402

from orders.contrib.django.expiry import connect  # noqa: E402
from tests.contrib.django.databases import of_url  # noqa: E402
from tests.contrib.django.shop.models import Order  # noqa: E402

_migrated: list[bytes] = []
"""A SQLite file in which everything has been migrated, for the tests after the first."""

LIST = "/admin/order_expiry/schedule/"


@dataclass
class Site:
    """A shop with its admin site."""

    redis: Redis
    expiry: OrderExpiry

    def place(self, *, due: float = 600.0, status: str = "pending", enqueue: bool = True) -> str:
        """Place an order that is due so many seconds from now; return its id."""
        order = Order.objects.create(status=status, expires_at=datetime.now(UTC) + timedelta(seconds=due))
        if enqueue:
            self.expiry.enqueue(order.pk, expires_at=order.expires_at)
        return str(order.pk)

    def bury(self, *order_ids: str | bytes, reason: str = "no stock") -> None:
        for number, order_id in enumerate(order_ids):
            letter = {"reason": reason, "attempts": 10, "buried_at": 1_700_000_000 + number}
            self.redis.hset("{orders}:dead", order_id, json.dumps(letter))

    def letters(self) -> int:
        return self.redis.hlen("{orders}:dead")

    def client(
        self, *permissions: str, is_staff: bool = True, is_superuser: bool = False, csrf: bool = False
    ) -> Client:
        """Return the browser of somebody who is logged in with these permissions of the app."""
        name = f"user-{User.objects.count()}"
        user = User.objects.create_user(name, is_staff=is_staff, is_superuser=is_superuser)
        user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
        client = Client(enforce_csrf_checks=csrf)
        client.force_login(user)
        return client

    @property
    def operator(self) -> Client:
        return self.client("change_schedule")


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'site.db'}"


@pytest.fixture
def project(
    database_url: str, redis_server: EmbeddedRedis, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Django's default database and its ``ORDERS`` are the test's; nothing is connected or created yet."""
    before = connections.settings["default"]
    connections["default"].close()
    del connections["default"]
    connections.settings["default"] = connections.configure_settings({"default": of_url(database_url)})["default"]
    monkeypatch.setattr("orders.process._current", None)
    monkeypatch.setattr("orders.process._factory", connect)
    monkeypatch.setattr(django_settings, "ORDERS", {"MODEL": "shop.Order", "REDIS_URL": redis_server.url})
    setup_test_environment()
    try:
        yield
    finally:
        teardown_test_environment()
        connections["default"].close()
        del connections["default"]
        connections.settings["default"] = before


@pytest.fixture
def site(project: None, redis: Redis, database_url: str) -> Site:
    file = Path(database_url.removeprefix("sqlite:///"))
    is_file = database_url.startswith("sqlite:///")
    if is_file and _migrated:
        file.write_bytes(_migrated[0])
    else:
        call_command("migrate", run_syncdb=True, verbosity=0)
        connections["default"].close()
        _migrated.extend([file.read_bytes()] if is_file else [])
    return Site(redis, process.current())


def page_of(order_id: str) -> str:
    return reverse("admin:order_expiry_schedule_change", args=[quote(links.encode(order_id))])


def told(response: Any) -> Sequence[str]:
    """Return the messages that a page shows, as the test client has it."""
    return [str(message) for message in response.context["messages"]]
