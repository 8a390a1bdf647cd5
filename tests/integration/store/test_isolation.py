"""The isolation level of our transactions in a database with another default, and that of the shop's own."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from orders.config.settings import Settings
from orders.store.engine import create_engine
from tests.conftest import Shop
from tests.servers import serializable

pytestmark = pytest.mark.every_adapter

LEVEL = sa.text("SHOW transaction_isolation")


@pytest.fixture
def database_url(postgres_url: str) -> str:
    return serializable(postgres_url)


def test_our_transactions_are_read_committed(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    levels: list[str] = []
    shop.hooks.on_expire(lambda given, _: levels.append(shop.adapter.sql(given, LEVEL)))
    assert shop.claim_and_expire("42") == {"expired": 1}
    assert levels == ["read committed"]


def test_the_shops_own_transactions_stay_as_they_are(shop: Shop) -> None:
    shop.create()
    shop.place("42", status="expired")
    shop.place("43", due=60)
    levels: list[str] = []

    @shop.hooks.on_late_payment
    def look(given: Any, _: object) -> bool:
        levels.append(shop.adapter.sql(given, LEVEL))
        return False

    assert shop.expiry.pay("43").is_accepted  # a transaction of ours, on a connection that the shop uses next
    engine = sa.create_engine(shop.engine.url)
    with shop.adapter.transaction(engine) as joined:
        shop.expiry.pay("42", **joined)
    engine.dispose()
    assert levels == ["serializable"]


@pytest.mark.sqlalchemy_only
def test_a_url_may_say_when_psycopg_prepares_a_statement(settings: Settings) -> None:
    for query, threshold in ({}, None), ({"prepare_threshold": "none"}, None), ({"prepare_threshold": "3"}, 3):
        url = sa.make_url(settings.database_url).update_query_dict(query).render_as_string(hide_password=False)
        engine = create_engine(Settings(database_url=url).database_url)
        with engine.connect() as connection:
            assert connection.connection.driver_connection.prepare_threshold == threshold  # type: ignore[union-attr]
        engine.dispose()
