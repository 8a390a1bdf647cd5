"""What the configuration of an app, its model and its database tell; and what is said if one of them is wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from orders.contrib.flask import Orders
from orders.errors import ConfigError


def make_app(**config: Any) -> Flask:
    app = Flask("shop")
    app.config.update({"SQLALCHEMY_DATABASE_URI": "sqlite://", **config})
    return app


@pytest.fixture
def db() -> SQLAlchemy:
    return SQLAlchemy()


@pytest.fixture
def order(db: SQLAlchemy) -> type[Any]:
    class Order(db.Model):  # type: ignore[name-defined, misc]
        __tablename__ = "purchases"
        number: Mapped[int] = mapped_column(primary_key=True)
        state: Mapped[str] = mapped_column("order_state", sa.String(20))
        deadline: Mapped[datetime] = mapped_column("pay_by", sa.DateTime(timezone=True))

    return Order


MAPPED = {"ORDERS_STATUS_COLUMN": "state", "ORDERS_DEADLINE_COLUMN": "deadline"}


def test_the_configuration_of_an_app_is_its_settings() -> None:
    app = make_app(ORDERS_KEY="mine", ORDERS_LEASE=60, ORDERS_DATABASE_URL="sqlite:///mine.db", OTHER="x")
    settings = Orders(app).current(app).settings
    assert (settings.key, settings.lease, settings.database_url) == ("mine", 60, "sqlite:///mine.db")


def test_the_environment_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_KEY", "theirs")
    monkeypatch.setenv("ORDERS_LEASE", "60")
    app = make_app(ORDERS_KEY="mine")
    settings = Orders(app).current(app).settings
    assert (settings.key, settings.lease) == ("mine", 60)


def test_table_columns_and_database_come_from_the_model(db: SQLAlchemy, order: type[Any]) -> None:
    app = make_app(**MAPPED)
    db.init_app(app)
    settings = Orders(app, db=db, model=order).current(app).settings
    assert (settings.table, settings.id_column) == ("purchases", "number")
    assert (settings.status_column, settings.deadline_column) == ("order_state", "pay_by")
    assert settings.database_url == "sqlite://"


def test_no_second_pool_is_opened(db: SQLAlchemy, order: type[Any]) -> None:
    app = make_app(**MAPPED)
    db.init_app(app)
    Orders(app, model=order)
    with app.app_context():
        assert app.extensions["orders"].store.transactions.engine is db.engine


def test_the_database_is_the_one_of_the_models_bind_key(db: SQLAlchemy) -> None:
    class Order(db.Model):  # type: ignore[name-defined, misc]
        __bind_key__ = "sales"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[str]
        expires_at: Mapped[datetime]

    app = make_app(SQLALCHEMY_BINDS={"sales": "sqlite:///sales.db"})
    db.init_app(app)
    expiry = Orders(app, model=Order)
    assert expiry.current(app).settings.database_url.endswith("sales.db")


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"ORDERS_LEASE": "soon"}, "ORDERS_LEASE is 'soon': it must be a number of seconds"),
        ({"ORDERS_LEESE": 60}, "unknown setting ORDERS_LEESE; the settings are"),
        ({"ORDERS_KEY": None}, "ORDERS_KEY is None: it must be a name"),
        (
            {"ORDERS_DATABASE_URL": "sqlite:///x.db"},
            "ORDERS_DATABASE_URL is set in the app's configuration, and so is db=",
        ),
        ({"ORDERS_TABLE": "orders"}, "ORDERS_TABLE is set in the app's configuration, and so is model=Order"),
        ({"ORDERS_STATUS_COLUMN": "stat"}, "ORDERS_STATUS_COLUMN is 'stat', but model=Order has no such column"),
        ({"ORDERS_DEADLINE_COLUMN": 7}, "it must be one of deadline, number, state"),
    ],
)
def test_a_wrong_setting_stops_the_start(db: SQLAlchemy, order: type[Any], config: dict[str, Any], told: str) -> None:
    app = make_app(**{**MAPPED, **config})
    db.init_app(app)
    with pytest.raises(ConfigError) as raised:
        Orders(app, db=db, model=order)
    assert told in str(raised.value)
    assert "orders" not in app.extensions


def composite(db: SQLAlchemy) -> type[Any]:
    class Order(db.Model):  # type: ignore[name-defined, misc]
        shop: Mapped[int] = mapped_column(primary_key=True)
        number: Mapped[int] = mapped_column(primary_key=True)

    return Order


def elsewhere(db: SQLAlchemy) -> type[Any]:
    class Order(db.Model):  # type: ignore[name-defined, misc]
        __bind_key__ = "sales"
        id: Mapped[int] = mapped_column(primary_key=True)

    return Order


@pytest.mark.parametrize(
    ("model", "told"),
    [
        (composite, "model=Order has the primary key (shop, number): it must have exactly one column"),
        (elsewhere, "SQLALCHEMY_BINDS has no 'sales'"),
        (lambda _: dict, "model=<class 'dict'>: it must be a class that is mapped to a table"),
    ],
)
def test_a_model_that_cannot_serve_stops_the_start(
    db: SQLAlchemy, model: Callable[[SQLAlchemy], type[Any]], told: str
) -> None:
    app = make_app()
    db.init_app(app)
    with pytest.raises(ConfigError) as raised:
        Orders(app, db=db, model=model(db))
    assert told in str(raised.value)


def test_flask_sqlalchemy_must_know_the_app(db: SQLAlchemy) -> None:
    with pytest.raises(ConfigError, match=r"call db\.init_app\(app\) first"):
        Orders(make_app(), db=db)


def test_a_database_that_is_not_supported_stops_the_start(db: SQLAlchemy) -> None:
    app = make_app(ORDERS_DATABASE_URL="oracle://db/shop")
    with pytest.raises(ConfigError, match="ORDERS_DATABASE_URL is 'oracle://db/shop': it must be"):
        Orders(app)


def test_an_app_is_given_one_extension() -> None:
    app = make_app()
    Orders(app)
    with pytest.raises(ConfigError, match="the app 'shop' already has an Orders extension"):
        Orders(app)


def test_outside_of_a_context_it_is_said_what_to_do() -> None:
    expiry = Orders(make_app())
    with pytest.raises(RuntimeError, match=r"no Flask app is active: .*app\.app_context\(\)"):
        expiry.enqueue("42")


def test_in_an_app_without_the_extension_it_is_said_what_to_do() -> None:
    with make_app().app_context(), pytest.raises(RuntimeError, match=r"call init_app\(app\)"):
        Orders().enqueue("42")


def test_an_app_of_another_extension_object_is_refused() -> None:
    app = make_app()
    Orders(app)
    with app.app_context(), pytest.raises(RuntimeError, match="another Orders extension"):
        Orders().enqueue("42")


def test_flask_sqlalchemy_is_optional() -> None:
    program = (
        "import sys; sys.modules['flask_sqlalchemy'] = None\n"
        "from flask import Flask\n"
        "from orders.contrib.flask import Orders\n"
        "app = Flask('shop')\n"
        "print(Orders(app).current(app).settings.key)\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ran.stdout, ran.stderr) == ("orders\n", "")


def test_the_modules_of_orders_hooks_are_imported_when_the_app_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = "from flask import current_app\n@current_app.extensions['orders'].extension.deadline_rule\n"
    (tmp_path / "rules_of_this_shop.py").write_text(f"{rule}def rule(order_id, context):\n    return 7200\n")
    monkeypatch.syspath_prepend(tmp_path)
    app = make_app(ORDERS_HOOKS="rules_of_this_shop")
    expiry = Orders(app)
    with app.app_context():
        left = expiry.deadline("42") - datetime.now(UTC)
    assert timedelta(minutes=119) < left <= timedelta(hours=2)


def test_a_driver_for_asyncio_is_rejected_with_the_setting_of_the_app(db: SQLAlchemy) -> None:
    app = make_app(SQLALCHEMY_DATABASE_URI="postgresql+psycopg_async://shop:s3cret@db/shop")
    db.init_app(app)
    told = r"the app.s database is postgresql\+psycopg_async://shop:\*\*\*@db/shop: its driver must not be for asyncio"
    with pytest.raises(ConfigError, match=told):
        Orders(app, db=db)
