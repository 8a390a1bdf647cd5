"""The orders table on real databases: what the conditional update does, and what it refuses."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from orders.config.settings import Settings
from orders.errors import ConfigError, InvalidOrderId, SchemaError, StoreError, StoreUnavailable
from orders.hooks import Hooks
from orders.store.conflicts import without_conflict
from orders.store.engine import create_engine
from orders.store.orders_table import IdType
from orders.store.outcomes import Outcome
from orders.store.sql_store import SqlStore
from tests.conftest import Adapter, ManualClock, Shop

pytestmark = pytest.mark.every_adapter

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)


OpenStore = Callable[..., SqlStore]


@pytest.fixture
def open_store(settings: Settings, adapter: Adapter) -> Iterator[OpenStore]:
    """Return a function that opens a store with connections of its own, on changed settings."""
    with ExitStack() as stack:

        def open_store(**changes: object) -> SqlStore:
            store = adapter.store(settings.model_copy(update=changes), hooks=Hooks())
            stack.callback(store.close)
            return store

        yield open_store


def outcomes(store: SqlStore, *order_ids: str) -> dict[str, Outcome]:
    return {order_id: verdict.outcome for order_id, verdict in store.expire(order_ids).items()}


def test_each_order_ends_as_its_row_says(shop: Shop) -> None:
    shop.create()
    shop.place("due", "due too", due=-1)
    shop.place("later", due=3600)
    shop.place("paid", status="paid")
    shop.place("cancelled", status="cancelled", due=3600)
    assert outcomes(shop.store, "due", "due too", "later", "paid", "cancelled", "unknown", "a\0b") == {
        "due": Outcome.EXPIRED,
        "due too": Outcome.EXPIRED,
        "later": Outcome.NOT_DUE,
        "paid": Outcome.CLOSED,
        "cancelled": Outcome.CLOSED,
        "unknown": Outcome.MISSING,
        "a\0b": Outcome.INVALID,
    }
    assert [shop.status(order) for order in ("due", "due too", "later", "paid", "cancelled")] == [
        "expired",
        "expired",
        "pending",
        "paid",
        "cancelled",
    ]


def test_a_row_is_expired_once(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    assert outcomes(shop.store, "42") == {"42": Outcome.EXPIRED}
    assert outcomes(shop.store, "42") == {"42": Outcome.CLOSED}


def test_of_an_order_that_is_not_due_the_deadline_is_told(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=3600)
    [verdict] = shop.store.expire(["42"]).values()
    assert verdict.due == pytest.approx((datetime.now(UTC) + timedelta(hours=1)).timestamp(), abs=30)
    assert verdict.wait == pytest.approx(3600, abs=30)


@pytest.mark.parametrize(
    ("milliseconds", "outcome"), [(-1, Outcome.NOT_DUE), (0, Outcome.EXPIRED), (1, Outcome.EXPIRED)]
)
def test_the_deadline_is_compared_to_the_millisecond(shop: Shop, milliseconds: int, outcome: Outcome) -> None:
    shop.create()
    deadline = NOON + timedelta(milliseconds=500)
    clock = ManualClock(deadline + timedelta(milliseconds=milliseconds))
    store = shop.open_store(clock=clock)
    shop.place("42")
    assert store.extend("42", deadline)
    [verdict] = store.expire(["42"]).values()
    assert verdict.outcome is outcome
    assert verdict.wait == pytest.approx(-milliseconds / 1000, abs=1e-4)  # SQLite's days are that exact


def test_of_an_expired_order_it_is_told_for_how_long_it_was_due(shop: Shop) -> None:
    # by the database's own clock, where it has one; the grace is no lateness
    shop.create()
    shop.place("42", due=-100)
    [verdict] = shop.configured(grace=60).store.expire(["42"]).values()
    assert verdict.outcome is Outcome.EXPIRED
    assert verdict.wait == pytest.approx(-40, abs=30)


def test_a_deadline_in_whole_seconds_is_compared_like_any_other(shop: Shop) -> None:
    # SQLite compares text: "12:00:00" must be what "12:00:00.000000" is.
    shop.create()
    shop.place("42")
    clock = ManualClock(NOON - timedelta(milliseconds=1))
    store = shop.open_store(clock=clock)
    assert store.extend("42", NOON)
    assert outcomes(store, "42") == {"42": Outcome.NOT_DUE}
    clock.advance(0.001)
    assert outcomes(store, "42") == {"42": Outcome.EXPIRED}


@pytest.mark.parametrize("id_type", ["text", "integer", "uuid"])
def test_ids_of_every_type_are_found(shop: Shop, id_type: IdType) -> None:
    shop.create(id_type)
    values: dict[str, list[Any]] = {
        "text": ["A-1", "büro", "x" * 255],
        "integer": [1, -5, 2**63 - 1],
        "uuid": [uuid4(), uuid4(), uuid4()],
    }
    order_ids = values[id_type]
    # SQLite has no UUIDs: SQLAlchemy and Django write them as hex digits there
    has_hex = id_type == "uuid" and shop.engine.dialect.name == "sqlite"
    shop.place(*(order_id.hex if has_hex else order_id for order_id in order_ids), enqueue=False)
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


def test_many_processes_worth_of_threads_expire_each_order_once(shop: Shop, open_store: OpenStore) -> None:
    # given four stores with connections of their own, and orders that all of them want
    shop.create("integer")
    shop.place(*range(1, 401), enqueue=False)
    stores = [open_store() for _ in range(4)]
    won: list[str] = []
    errors: list[StoreError] = []

    def work(store: SqlStore) -> None:
        try:
            for first in range(1, 401, 20):
                batch = [str(number) for number in range(first, first + 20)]
                # MariaDB may end one of two who wait for the same rows: every caller tries again then
                found = without_conflict(partial(outcomes, store, *batch), sleep=time.sleep, jitter=random.random)
                won.extend(name for name, outcome in found.items() if outcome is Outcome.EXPIRED)
        except StoreError as error:
            errors.append(error)

    # when all work at once
    threads = [threading.Thread(target=shop.adapter.tidy(partial(work, store))) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # then nobody waited in vain ("database is locked"), and each order was expired by one of them
    assert errors == []
    assert sorted(won, key=int) == [str(number) for number in range(1, 401)]


def test_a_payment_that_waits_in_a_transaction_wins_or_loses_as_a_whole(shop: Shop) -> None:
    # given a payment that has changed the row, and has not been committed
    shop.create()
    shop.place("42")
    verdict: list[Outcome] = []
    expiring = threading.Thread(target=shop.adapter.tidy(lambda: verdict.append(outcomes(shop.store, "42")["42"])))
    shop.store.check()
    with shop.engine.begin() as connection:
        paid = connection.execute(sa.text("UPDATE orders SET status = 'paid' WHERE status = 'pending'"))
        # when an expiry begins meanwhile
        expiring.start()
        expiring.join(0.2)
        assert expiring.is_alive()  # it waits for the row
    expiring.join()
    # then it finds the order closed
    assert paid.rowcount == 1
    assert verdict == [Outcome.CLOSED]
    assert shop.status("42") == "paid"


def test_a_database_that_is_absent_is_an_error_that_names_it(
    settings: Settings, tmp_path: Path, open_store: OpenStore
) -> None:
    absent = (
        "postgresql://shop:s3cret@127.0.0.1:1/shop"
        if settings.database_url.startswith("postgresql")
        else f"sqlite:///{tmp_path}/no/such/folder/shop.db"
    )
    store = open_store(database_url=absent)
    with pytest.raises(StoreUnavailable) as caught:
        store.expire(["42"])
    assert "the database at " in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_database_that_is_read_only_says_so(shop: Shop, open_store: OpenStore) -> None:
    shop.create()
    shop.place("42")
    if shop.engine.dialect.name == "postgresql":
        with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(
                sa.text(f"ALTER DATABASE {shop.engine.url.database} SET default_transaction_read_only TO on")
            )
        shop.store.close()  # connections that are open stay as they were
        store = open_store()
    elif shop.engine.dialect.name == "mysql":
        store = open_store(database_url=f"{shop.settings.database_url}&init_command=SET SESSION TRANSACTION READ ONLY")
    else:
        store = open_store(database_url=f"sqlite:///file:{shop.engine.url.database}?mode=ro&uri=true")
    with pytest.raises(StoreUnavailable, match=r"(?i)read.?only"):
        store.expire(["42"])


def test_a_row_that_stays_locked_is_an_outage_not_the_orders_fault(shop: Shop, open_store: OpenStore) -> None:
    # given a transaction of the shop that holds the row for longer than the database lets others wait
    dialect = shop.engine.dialect.name
    limits = {
        "postgresql": {"options": "-c lock_timeout=200"},
        "mysql": {"init_command": "SET SESSION innodb_lock_wait_timeout=1"},
        "sqlite": {"timeout": "0.2"},
    }
    shop.create()
    shop.place("42")
    impatient = sa.make_url(shop.settings.database_url).update_query_dict(limits[dialect])
    store = open_store(database_url=impatient.render_as_string(hide_password=False))
    store.check()
    with shop.engine.begin() as connection:
        connection.execute(sa.text("UPDATE orders SET status = status"))
        # when an expiry comes to it
        with pytest.raises(StoreUnavailable, match=r"(?i)lock"):
            store.expire(["42"])
    # then it is as it was
    assert shop.status("42") == "pending"


def test_data_that_the_database_refuses_is_not_an_outage(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.execute(
            sa.text(
                "CREATE TABLE orders (id INTEGER, status VARCHAR(9) CHECK (status <> 'expired'), expires_at TIMESTAMP)"
            )
        )
        connection.execute(sa.text("INSERT INTO orders VALUES (42, 'pending', '2020-01-01 00:00:00')"))
    with pytest.raises(StoreError, match="rejected the statement") as caught:
        shop.store.expire(["42"])
    assert not isinstance(caught.value, StoreUnavailable)
    assert shop.status(42) == "pending"


@pytest.mark.sqlalchemy_only
def test_a_driver_that_is_not_installed_is_named(settings: Settings) -> None:
    store = SqlStore(settings.model_copy(update={"database_url": "postgresql+pg8000://shop:s3cret@db/shop"}))
    with pytest.raises(ConfigError, match=r"ORDERS_DATABASE_URL is 'postgresql\+pg8000://shop:\*\*\*@db/shop'.*driver"):
        store.check()


def test_closing_a_store_that_was_never_used_connects_to_nothing(settings: Settings) -> None:
    SqlStore(settings.model_copy(update={"database_url": "mysql+absent://localhost/shop"})).close()


def test_closing_a_store_leaves_the_applications_engine_alone(tmp_path: Path, settings: Settings) -> None:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    closed: list[object] = []
    sa.event.listen(engine, "close", lambda connection, _: closed.append(connection))
    store = SqlStore(settings, engine=engine)
    store.create_table("text")
    store.close()
    assert closed == []
    engine.dispose()
    assert len(closed) == 1
