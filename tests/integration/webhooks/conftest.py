from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Self

import pytest
from standardwebhooks import webhooks as reference

from tests.conftest import Shop
from tests.integration.webhooks.receiver import SECRET, Receiver, receiving


@pytest.fixture
def receivers(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Receiver]]:
    """Starts receivers, with the shop's clock."""

    class ShopsTime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Self:
            return cls.fromtimestamp(shop.clock.now().timestamp(), tz)

    monkeypatch.setattr(reference, "datetime", ShopsTime)
    with ExitStack() as stack:
        yield lambda: stack.enter_context(receiving())


@pytest.fixture
def receiver(receivers: Callable[[], Receiver]) -> Receiver:
    return receivers()


def posting(shop: Shop, url: str, **settings: object) -> Shop:
    """Return the shop with webhooks, whose clock decides what is due."""
    given = {"webhook_url": url, "webhook_secret": SECRET, "webhook_allow": "127.0.0.1", **settings}
    shop = shop.configured(**given)
    store = shop.open_store(clock=shop.clock)
    options = {"clock": shop.clock, "sleep": shop.slept.append, "jitter": lambda: 0.0}
    expiry = shop.adapter.expiry(shop.settings, shop.schedule, store, hooks=shop.hooks, **options)
    shop = replace(shop, expiry=expiry, store=store)
    shop.expiry.deliver()  # it makes the endpoints known: they get events from now on
    return shop


def expire(shop: Shop, *order_ids: str) -> None:
    shop.place(*order_ids, due=-60)  # its clock has stood still since the test began
    assert shop.claim_and_expire()["expired"] == len(order_ids)
    shop.clock.advance(1)
