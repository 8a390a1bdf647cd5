"""A table that is altered while processes use it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest
import sqlalchemy as sa

from orders.errors import InvalidOrderId, SchemaError
from orders.store import State
from orders.store.outcomes import Outcome, PaymentVerdict
from tests.conftest import Adapter, Shop
from tests.integration.store.conftest import NOON, outcomes

pytestmark = pytest.mark.every_adapter

ALTER = {
    "postgresql": "ALTER TABLE orders ALTER {column} TYPE {kind} USING {column}::{kind}",
    "mysql": "ALTER TABLE orders MODIFY {column} {kind}",
}

BEYOND = str(2**40)


@pytest.fixture(params=["postgresql", "mariadb"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue({"postgresql": "postgres_url", "mariadb": "mariadb_url"}[request.param])
    return url


def alter(shop: Shop, kind: str, column: str = "id") -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text(ALTER[shop.engine.dialect.name].format(column=column, kind=kind)))


def create(shop: Shop, kind: str) -> None:
    moment = "timestamptz" if shop.engine.dialect.name == "postgresql" else "DATETIME(6)"
    with shop.engine.begin() as connection:
        connection.execute(
            sa.text(f"CREATE TABLE orders (id {kind} PRIMARY KEY, status VARCHAR(9), expires_at {moment})")
        )
    shop.store.create_outbox()


def place(shop: Shop, order_id: str) -> str:
    insert = sa.text("INSERT INTO orders VALUES (:id, 'pending', '2020-01-01 00:00:00')")
    with shop.engine.begin() as connection:
        connection.execute(insert, {"id": order_id if len(order_id) > 15 else int(order_id)})
    return order_id


CALLS: dict[str, tuple[Callable[[Shop], object], object]] = {
    "expire": (lambda shop: outcomes(shop.store, BEYOND), {BEYOND: Outcome.EXPIRED}),
    "pay": (lambda shop: shop.expiry.pay(BEYOND).verdict, PaymentVerdict.ACCEPTED),
    "hold": (lambda shop: shop.expiry.hold(BEYOND, 60), True),
    "cancel": (lambda shop: shop.expiry.cancel(BEYOND), True),
    "extend": (lambda shop: shop.expiry.extend(BEYOND, expires_at=NOON), True),
    "check": (lambda shop: shop.expiry.check(BEYOND), State.EXPIRED),
    "explain": (lambda shop: shop.expiry.explain(BEYOND).state, "pending"),
    "events": (lambda shop: shop.store.events(BEYOND, limit=1), []),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_id_beyond_the_old_range_is_no_worse_than_others(shop: Shop, call: str) -> None:
    create(shop, "integer")
    with pytest.raises(InvalidOrderId, match="is not a number from -2147483648"):
        shop.expiry.pay(BEYOND)
    alter(shop, "bigint")
    place(shop, BEYOND)
    run, expected = CALLS[call]
    assert run(shop) == expected


def test_statements_that_the_driver_has_prepared_are_prepared_anew(shop: Shop) -> None:
    # given connections that have prepared their statements, as psycopg does after five times
    create(shop, "integer")
    for number in range(1, 11):
        place(shop, str(number))
        place(shop, str(number + 100))
        assert shop.expiry.pay(number).is_accepted
        assert outcomes(shop.store, str(number + 100)) == {str(number + 100): Outcome.EXPIRED}
    # when the type of the column changes
    alter(shop, "bigint")
    # then no call raises
    assert shop.expiry.pay(place(shop, "11")).is_accepted
    shop.redis.zadd("orders", {place(shop, "12"): 1.0})
    assert shop.claim_and_expire() == {"expired": 1}


def test_a_payment_in_the_shops_own_transaction_does_not_raise(shop: Shop, adapter: Adapter) -> None:
    create(shop, "integer")
    for number in range(1, 11):
        with adapter.transaction(shop.engine) as joined:
            assert shop.expiry.pay(place(shop, str(number)), **joined).is_accepted
    alter(shop, "bigint")
    place(shop, "11")
    with adapter.transaction(shop.engine) as joined:
        assert shop.expiry.pay("11", **joined).is_accepted
    assert shop.status(11) == "paid"


def test_uuids_that_become_text(shop: Shop) -> None:
    if shop.engine.dialect.name == "mysql":
        pytest.skip("MariaDB sends UUIDs as text")
    create(shop, "uuid")
    first, second, third = (str(UUID(int=number)) for number in (1, 2, 3))
    for order_id in (first, second, third):
        place(shop, order_id)
    assert shop.expiry.pay(first).is_accepted
    alter(shop, "text")
    assert shop.expiry.pay(second).is_accepted
    assert outcomes(shop.store, third) == {third: Outcome.EXPIRED}
    assert outcomes(shop.store, "A-1") == {"A-1": Outcome.MISSING}


def test_a_longer_column_holds_longer_ids(shop: Shop) -> None:
    create(shop, "varchar(20)")
    long = "x" * 30
    assert shop.store.expire([long])[long].outcome is Outcome.INVALID
    alter(shop, "varchar(40)")
    place(shop, long)
    assert outcomes(shop.store, long) == {long: Outcome.EXPIRED}


def test_a_column_that_is_renamed_is_an_error_that_names_the_setting(shop: Shop) -> None:
    create(shop, "integer")
    place(shop, "1")
    shop.store.check()
    with shop.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE orders RENAME COLUMN status TO state"))
    with pytest.raises(SchemaError, match="ORDERS_STATUS_COLUMN is 'status', but the table 'orders' has no such"):
        shop.expiry.pay(1)
