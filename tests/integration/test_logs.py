"""The lines about orders that fail, and about money that comes late."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from orders.errors import ExpiryFailed
from tests.conftest import Shop


@pytest.fixture
def settings(redis_server: EmbeddedRedis, tmp_path: Path) -> Settings:
    return Settings(redis_url=redis_server.url, database_url=f"sqlite:///{tmp_path / 'shop.db'}", max_attempts=2)


def told(caplog: pytest.LogCaptureFixture, event: str) -> list[Any]:
    return [record for record in caplog.records if getattr(record, "event", "") == event]


def expire(shop: Shop) -> None:
    claim = shop.schedule.claim(100)
    for claimed in claim.claimed:
        with suppress(ExpiryFailed):
            shop.expiry.expire([claimed.order_id], claim.lease)


def test_each_order_that_fails_has_a_line_with_its_reason(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    # given an order that a hook refuses, beside one that it does not
    @shop.hooks.on_expire
    def refuse(_: Session, order_ids: Sequence[str]) -> None:
        if "7" in order_ids:
            raise ValueError("no stock at http://shop:s3cret@stock/")

    shop.create()
    shop.place("7", "8")
    # when it fails for the first time
    with caplog.at_level(logging.INFO, "orders"):
        expire(shop)
        # then it says when it is tried again, and why
        [retried] = told(caplog, "retried")
        assert retried.getMessage() == (
            "attempt 1 of 2 for order 7 failed, the next one is in 1.0 s: ValueError: no stock at http://shop:***@stock/"
        )
        assert (retried.order_ids, retried.attempt, retried.levelname) == (["7"], 1, "WARNING")
        # and when it fails for the last time, that it is buried
        shop.redis.zadd("orders", {"7": 1.0})
        expire(shop)
    [buried] = told(caplog, "buried")
    assert buried.getMessage().startswith("buried order 7 after attempt 2 of 2: ValueError: no stock")
    assert (buried.order_ids, buried.levelname) == (["7"], "ERROR")
    # and each line names the lease that the others have
    [attempt] = [record for record in told(caplog, "attempt") if record.outcomes == {"buried": 1}]
    assert attempt.lease == buried.lease != retried.lease


def test_money_that_is_late_has_a_line_once_it_is_committed(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    # given an order that was expired
    shop.create()
    shop.place("42", status="expired")
    # when a payment for it is rolled back
    with Session(shop.engine) as session, session.begin():
        payment = shop.expiry.pay("42", reference="ch_1", session=session)
        session.rollback()
    # then there is no line
    assert told(caplog, "late_payment") == []
    # and when it is committed, there is one, however often the callback comes
    for _ in range(2):
        assert shop.expiry.pay("42", reference="ch_1") == payment
    [late] = told(caplog, "late_payment")
    assert late.getMessage() == (
        f"payment for order 42 is too_late: refund it with the idempotency key {payment.refund_key}"
    )
    assert (late.order_ids, late.reference, late.refund_key) == (["42"], "ch_1", payment.refund_key)


def test_an_expired_order_that_is_paid_after_all_has_a_line(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.hooks.on_late_payment(lambda *_: True)
    shop.create()
    shop.place("42", status="expired")
    with caplog.at_level(logging.INFO, "orders"):
        assert shop.expiry.pay("42", reference="ch_1").was_revived
    [revived] = told(caplog, "revived")
    assert (revived.order_ids, revived.reference) == (["42"], "ch_1")
