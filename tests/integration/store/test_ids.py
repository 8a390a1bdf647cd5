"""Order ids of every type, as the column of the orders table holds them."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from orders.errors import InvalidOrderId
from orders.store.engine import create_engine
from orders.store.orders_table import IdType
from orders.store.outcomes import Outcome
from tests.conftest import Shop
from tests.integration.store.conftest import NOON, OpenStore, outcomes

pytestmark = pytest.mark.every_adapter


@pytest.mark.parametrize("id_type", ["text", "integer", "uuid"])
def test_ids_of_every_type_are_found(shop: Shop, id_type: IdType) -> None:
    shop.create(id_type)
    values: dict[str, list[Any]] = {
        "text": ["A-1", "büro", "x" * 255],
        "integer": [1, -5, 2**63 - 1],
        "uuid": [uuid4(), uuid4(), uuid4()],
    }
    order_ids = values[id_type]
    shop.place(*map(shop.stored, order_ids), enqueue=False)
    assert outcomes(shop.store, *map(str, order_ids)) == {str(order_id): Outcome.EXPIRED for order_id in order_ids}
    assert shop.expiry.extend(order_ids[0]) is False


@pytest.mark.parametrize(
    ("id_type", "order_id"),
    [
        ("integer", "A-1"),
        ("integer", "9223372036854775808"),
        ("integer", "1e3"),
        ("integer", "٤٢"),  # digits, but not those of SQL
        ("uuid", "not a UUID, and longer than one in hex"),
        ("text", "\udcff"),
        ("text", "x" * 256),
    ],
)
def test_an_id_that_the_column_cannot_hold_is_invalid_and_harms_no_other(
    shop: Shop, id_type: IdType, order_id: str
) -> None:
    shop.create(id_type)
    good = str(uuid4()) if id_type == "uuid" else "7"
    verdicts = shop.store.expire([order_id, good])
    assert verdicts[order_id].outcome is Outcome.INVALID
    assert "the order id" in verdicts[order_id].reason
    assert verdicts[good].outcome is Outcome.MISSING
    with pytest.raises(InvalidOrderId):
        shop.store.extend(order_id, NOON)


def test_an_id_is_compared_to_the_letter(shop: Shop) -> None:
    shop.create()
    shop.place("Abc", "x", enqueue=False)
    assert outcomes(shop.store, "abc", "ABC", "x ", "Abc") == {
        "abc": Outcome.MISSING,
        "ABC": Outcome.MISSING,
        "x ": Outcome.MISSING,
        "Abc": Outcome.EXPIRED,
    }
    assert shop.status("x") == "pending"


@pytest.mark.sqlalchemy_only
def test_an_id_is_found_whatever_the_character_set_of_its_column(mariadb_url: str, open_store: OpenStore) -> None:
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.exec_driver_sql(
            "CREATE TABLE orders (id VARCHAR(20) CHARACTER SET latin1, status VARCHAR(9), expires_at DATETIME(6))"
        )
        connection.exec_driver_sql("INSERT INTO orders VALUES ('büro', 'pending', '2020-01-01')")
    assert outcomes(open_store(database_url=mariadb_url), "büro", "buro") == {
        "büro": Outcome.EXPIRED,
        "buro": Outcome.MISSING,
    }
    engine.dispose()


def test_two_spellings_of_one_id_are_one_row(shop: Shop) -> None:
    shop.create("integer")
    shop.place(42, enqueue=False)
    assert outcomes(shop.store, "42", "042") == {"42": Outcome.EXPIRED, "042": Outcome.EXPIRED}
    assert outcomes(shop.store, "042") == {"042": Outcome.CLOSED}
