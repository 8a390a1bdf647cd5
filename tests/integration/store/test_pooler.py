"""A PgBouncer that gives each transaction another session, and knows no prepared statements."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import TypeVar

import pytest

from orders.expiry.use_cases import OrderExpiry
from orders.operate.doctor import Patient, Severity, about_database
from tests.conftest import Shop
from tests.pooler import pooled

T = TypeVar("T")

pytestmark = pytest.mark.every_adapter

NUMBER = 60
"""Orders for each of two kinds of end: psycopg would prepare a statement after five."""


@pytest.fixture
def database_url(postgres_url: str) -> Iterator[str]:
    with pooled(postgres_url) as url:
        yield url


def test_transactions_do_not_depend_on_their_session(shop: Shop) -> None:
    shop.create("integer")
    shop.place(*range(NUMBER))
    shop.place(*range(NUMBER, 2 * NUMBER), due=60)
    claim = shop.schedule.claim(NUMBER)
    pay = [shop.adapter.tidy(partial(shop.expiry.pay, order)) for order in range(NUMBER, 2 * NUMBER)]
    expire = [shop.adapter.tidy(partial(shop.expiry.expire, [str(order)], claim.lease)) for order in range(NUMBER)]
    with ThreadPoolExecutor(4) as pool:
        paid, expired = pool.map(_call, pay), pool.map(_call, expire)
    assert [payment.is_accepted for payment in paid] == [True] * NUMBER
    assert list(expired) == [{"expired": 1}] * NUMBER


def test_the_doctor_sees_it(shop: Shop) -> None:
    shop.create("integer")
    [found] = about_database.CHECKS["database.sessions"](Patient(shop.expiry))
    assert (found.severity, found.found) == (Severity.OK, "connections are to a pooler")


@pytest.mark.sqlalchemy_only
def test_the_doctor_warns_if_statements_are_prepared(shop: Shop) -> None:
    shop.create("integer")
    url = f"{shop.settings.database_url}?prepare_threshold=5"
    with closing(OrderExpiry.connect(shop.settings.model_copy(update={"database_url": url}))) as expiry:
        [found] = about_database.CHECKS["database.sessions"](Patient(expiry))
    assert found.severity is Severity.WARNING
    assert "prepared after 5 uses" in found.found


def _call(function: Callable[[], T]) -> T:
    return function()
