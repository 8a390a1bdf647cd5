"""A database that is absent, locked, read-only or refuses a change, and stores that are closed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from orders.config.settings import Settings
from orders.errors import ConfigError, StoreError, StoreUnavailable
from orders.store.engine import create_engine
from orders.store.sql_errors import judge
from orders.store.sql_store import SqlStore
from tests.conftest import Shop
from tests.integration.store.conftest import OpenStore

pytestmark = pytest.mark.every_adapter


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
@pytest.mark.parametrize("number", [1048, 1644, 1690, 3819, 4025])
def test_mysqls_drivers_may_call_any_error_operational(number: int) -> None:
    error = judge(RuntimeError(number, "no"), "the database", is_about_data=False)
    assert not isinstance(error, StoreUnavailable)


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize(
    ("server", "scheme"),
    [
        ("postgres_url", "postgres"),
        ("postgres_url", "postgresql"),
        ("mariadb_url", "mysql"),
        ("mariadb_url", "mariadb"),
    ],
)
def test_a_url_without_a_driver_uses_the_one_that_is_installed(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, server: str, scheme: str
) -> None:
    monkeypatch.delitem(sys.modules, "MySQLdb", raising=False)  # Django's tests give PyMySQL that name
    _, _, rest = request.getfixturevalue(server).partition("://")
    store = SqlStore(Settings(database_url=f"{scheme}://{rest}"))
    assert store.create_table("text")
    store.close()


@pytest.mark.sqlalchemy_only
def test_the_extra_of_a_missing_driver_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "MySQLdb", raising=False)
    with pytest.raises(ConfigError, match=r"mysqldb://shop:\*\*\*@db/shop'.*: install order-expiry\[mysql\], or"):
        create_engine("mysql+mysqldb://shop:s3cret@db/shop")


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
