"""A Django project on databases and a Redis of its own: see `tests.contrib.django.shop`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from redis import Redis

from orders.embedded import EmbeddedRedis
from orders.hooks import Hooks
from orders.schedule.sorted_set import Schedule
from tests.contrib.django import adapter as adapters

adapters.start()

from django.core.management import call_command  # noqa: E402
from django.utils import timezone  # noqa: E402

from orders.contrib.django import conf  # noqa: E402
from orders.contrib.django.expiry import DjangoExpiry  # noqa: E402
from orders.contrib.django.store import DjangoStore  # noqa: E402
from tests.contrib.django.shop.models import Item, Order, Product  # noqa: E402


@dataclass
class Project:
    """A Django project whose orders are in one database."""

    alias: str
    redis_url: str
    redis: Redis
    hooks: Hooks = field(default_factory=Hooks)

    def expiry(self, **given: Any) -> DjangoExpiry:
        """Return the use cases on what ``ORDERS`` says."""
        orders = {"MODEL": "shop.Order", "REDIS_URL": self.redis_url, "DATABASE": self.alias, **given}
        configuration = conf.read(orders)
        key = configuration.model._meta.pk
        settings = configuration.settings
        store = DjangoStore(settings, lambda: configuration.alias, hooks=self.hooks, to_python=key.to_python)
        return DjangoExpiry(settings, Schedule.connect(settings), store, hooks=self.hooks)

    def place(self, expiry: DjangoExpiry, *, due: float = -1.0, units: int = 1) -> Order:
        """Place an order of tea that is due so many seconds from now."""
        tea, _ = Product.objects.using(self.alias).get_or_create(name="tea")
        deadline = timezone.now() + timedelta(seconds=due)
        order = Order.objects.using(self.alias).create(expires_at=deadline)
        Item.objects.using(self.alias).create(order=order, product=tea, units=units)
        expiry.enqueue(order.pk, expires_at=deadline)
        return order

    def stock(self) -> int:
        return Product.objects.using(self.alias).get(name="tea").stock

    def status(self, order: Order) -> str:
        return Order.objects.using(self.alias).get(pk=order.pk).status

    def score(self, order: Order) -> float | None:
        return self.redis.zscore("orders", str(order.pk))


def claim_and_expire(expiry: DjangoExpiry) -> dict[str, int]:
    claim = expiry.schedule.claim(100)
    return expiry.expire([claimed.order_id for claimed in claim.claimed], claim.lease)


@pytest.fixture
def project(database_url: str, redis_server: EmbeddedRedis, redis: Redis) -> Iterator[Project]:
    with adapters.database(database_url) as alias:
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
        yield Project(alias, redis_server.url, redis)
