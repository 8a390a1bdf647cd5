"""The shop's own orders table: names, words and types that serve, and those that cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
import sqlalchemy as sa

from orders.config.settings import Settings
from orders.errors import SchemaError
from orders.store.engine import create_engine
from orders.store.outcomes import Outcome, Row, State
from tests.conftest import Adapter, Shop
from tests.integration.store.conftest import NOON, OpenStore, outcomes

pytestmark = pytest.mark.every_adapter


def test_a_pending_row_without_a_deadline_is_invalid(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER, status VARCHAR(9), expires_at TIMESTAMP)"))
        connection.execute(sa.text("INSERT INTO orders VALUES (42, 'pending', NULL)"))
    verdict = shop.store.expire(["42"])["42"]
    assert (verdict.outcome, verdict.reason) == (Outcome.INVALID, "the row is pending, but its expires_at is NULL")


def test_the_shops_own_names_words_and_types_are_used(
    settings: Settings, open_store: OpenStore, adapter: Adapter
) -> None:
    engine = create_engine(settings.database_url)
    if engine.dialect.name == "mysql":
        sa.event.listen(engine, "connect", lambda raw, _: raw.cursor().execute("SET sql_mode = 'ANSI_QUOTES'"))
    with engine.begin() as connection:
        connection.execute(sa.text('CREATE TABLE "Bestellung" ("Nr" SMALLINT, "Lage" SMALLINT, "Frist bis" TIMESTAMP)'))
        connection.execute(
            sa.text('INSERT INTO "Bestellung" VALUES (1, 0, :past), (2, 5, :past), (3, 0, :future)'),
            {"past": datetime(2020, 1, 1), "future": datetime(2037, 1, 1)}  # noqa: DTZ001
            if engine.dialect.name == "postgresql"
            else {"past": "2020-01-01 00:00:00", "future": "2037-01-01 00:00:00"},
        )
    words = {"pending": "0", "paid": "5", "expired": "9"}
    names = {"table": "Bestellung", "id_column": "Nr", "status_column": "Lage", "deadline_column": "Frist bis"}
    store = open_store(**words, **names)
    assert outcomes(store, "1", "2", "3", "99999") == {
        "1": Outcome.EXPIRED,
        "2": Outcome.CLOSED,
        "3": Outcome.NOT_DUE,
        "99999": Outcome.MISSING if engine.dialect.name == "sqlite" else Outcome.INVALID,  # 16 bits
    }
    assert store.extend("3", NOON)
    with engine.begin() as connection:
        rows = connection.execute(sa.text('SELECT "Nr", "Lage", "Frist bis" FROM "Bestellung" ORDER BY 1')).all()
    assert [tuple(row[:2]) for row in rows] == [(1, 9), (2, 5), (3, 0)]
    if (adapter.name, engine.dialect.name) != ("django", "mysql"):  # Django has no TIMESTAMP there, nor a time zone
        assert str(rows[2][2]).startswith("2030-01-31 12:00:00")
    engine.dispose()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"table": "nope"}, "ORDERS_TABLE is 'nope', but the database has no such table"),
        ({"id_column": "nr"}, "ORDERS_ID_COLUMN is 'nr', but the table 'orders' has no such column: it has expires_at"),
        ({"deadline_column": "status", "status_column": "expires_at"}, "ORDERS_DEADLINE_COLUMN is 'status', of type"),
        ({"id_column": "expires_at", "deadline_column": "id"}, "ORDERS_DEADLINE_COLUMN is 'id'"),
        ({"status_column": "id", "id_column": "status", "paid": "x" * 40}, None),
        ({"paid": "x" * 40}, "ORDERS_PAID is 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx': the column 'status'"),
    ],
)
def test_a_table_that_cannot_serve_is_an_error_that_names_the_setting(
    shop: Shop, change: dict[str, str], told: str | None
) -> None:
    shop.create()
    store = shop.open_store(shop.settings.model_copy(update=change))
    if told is None:
        store.check()
        return
    with pytest.raises(SchemaError) as caught:
        store.expire(["42"])
    assert told in str(caught.value)


def test_a_status_column_of_numbers_takes_numbers(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER, status INTEGER, expires_at TIMESTAMP)"))
    with pytest.raises(SchemaError, match="ORDERS_PENDING is 'pending': the column 'status' of type INTEGER accepts"):
        shop.store.check()


def test_a_deadline_as_a_number_is_refused(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id FLOAT, status VARCHAR(9), expires_at INTEGER)"))
    with pytest.raises(SchemaError, match="'expires_at', of type INTEGER: it must be a date and time column"):
        shop.store.check()
    with shop.engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE orders"))
        connection.execute(sa.text("CREATE TABLE orders (id FLOAT, status VARCHAR(9), expires_at TIMESTAMP)"))
    with pytest.raises(SchemaError, match="it must be a text, integer or UUID column"):
        shop.store.check()


def test_the_default_table_has_the_index_that_reconciling_needs(shop: Shop) -> None:
    shop.create()
    assert shop.store.create_table("text") is False
    [index] = sa.inspect(shop.engine).get_indexes("orders")
    assert index["name"] == "orders_overdue"
    if shop.engine.dialect.name == "mysql":  # has no partial indexes
        assert index["column_names"] == ["status", "expires_at", "id"]
        return
    assert index["column_names"] == ["expires_at", "id"]
    where = str(index["dialect_options"][f"{shop.engine.dialect.name}_where"])
    assert "status" in where
    assert "pending" in where


DOMAINS = {
    "text": "CREATE DOMAIN phase AS text CHECK (VALUE IN ('pending', 'paid', 'expired'))",
    "varchar": "CREATE DOMAIN phase AS varchar(9)",
    "another domain": "CREATE DOMAIN word AS text; CREATE DOMAIN phase AS word NOT NULL",
}


@pytest.mark.parametrize("status", DOMAINS)
@pytest.mark.parametrize(
    ("id_type", "order_id"), [("bigint", "42"), ("varchar(20)", "A-1"), ("uuid", str(UUID(int=1)))]
)
def test_columns_of_domain_types_serve(
    postgres_url: str, open_store: OpenStore, status: str, id_type: str, order_id: str
) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE DOMAIN number AS {id_type}; CREATE DOMAIN moment AS timestamptz"))
        connection.execute(sa.text(DOMAINS[status]))
        connection.execute(sa.text("CREATE TABLE orders (id number PRIMARY KEY, status phase, expires_at moment)"))
        connection.execute(sa.text(f"INSERT INTO orders VALUES ('{order_id}', 'pending', '2020-01-01Z')"))
    store = open_store(database_url=postgres_url)
    [row] = store.pending(overdue=0.0, after=None, limit=1)
    assert store.pending(overdue=0.0, after=row, limit=1) == []
    assert outcomes(store, order_id) == {order_id: Outcome.EXPIRED}
    assert store.row(order_id) == Row("expired", datetime(2020, 1, 1, tzinfo=UTC), State.EXPIRED)
    engine.dispose()


@pytest.mark.parametrize("kind", ["phases", "boolean", "text[]", "bytea"])
def test_a_status_of_a_type_that_cannot_serve_is_an_error_that_buries_nothing(
    postgres_url: str, open_store: OpenStore, kind: str
) -> None:
    engine = create_engine(postgres_url)
    with engine.begin() as connection:
        # A domain of an enum has no operator "=" without a cast.
        connection.execute(sa.text("CREATE TYPE phase AS ENUM ('pending', 'paid', 'expired')"))
        connection.execute(sa.text("CREATE DOMAIN phases AS phase"))
        connection.execute(sa.text(f"CREATE TABLE orders (id integer, status {kind}, expires_at timestamptz)"))
    with pytest.raises(SchemaError, match=r"ORDERS_STATUS_COLUMN is 'status', of type .*: it must be a text, number"):
        open_store(database_url=postgres_url).expire(["42"])
    engine.dispose()


def test_a_status_column_of_decimal_numbers_serves(shop: Shop, open_store: OpenStore) -> None:
    with shop.engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE orders (id INTEGER, status NUMERIC(2), expires_at TIMESTAMP)"))
        connection.execute(sa.text("INSERT INTO orders VALUES (1, 0, '2020-01-01 00:00:00'), (2, 1, NULL)"))
    store = open_store(pending="0", paid="1", expired="2")
    assert outcomes(store, "1", "2") == {"1": Outcome.EXPIRED, "2": Outcome.CLOSED}
