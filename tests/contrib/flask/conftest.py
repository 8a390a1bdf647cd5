"""A shop in Flask: products with stock, orders that reserve it, and the extension."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from redis import Redis
from sqlalchemy.orm import Mapped, mapped_column

from orders.contrib.flask import Orders
from orders.embedded import EmbeddedRedis
from orders.expiry.use_cases import OrderExpiry
from tests.servers import with_driver

_names = count(1)


@dataclass
class FlaskShop:
    """One app, its database and its extension."""

    app: Flask
    db: SQLAlchemy
    expiry: Orders
    order: type[Any]
    product: type[Any]
    redis: Redis
    key: str

    @property
    def current(self) -> OrderExpiry:
        return self.expiry.current(self.app)

    def place(self, *, due: float = 60.0, enqueue: bool = True) -> int:
        """Place an order as a view does: reserve the stock, write the order, schedule it, commit."""
        with self.app.app_context():
            deadline = datetime.now(UTC) + timedelta(seconds=due)
            order = self.order(status="pending", expires_at=deadline, sku="vase")
            self.db.session.add(order)
            self.db.session.get_one(self.product, "vase").stock -= 1
            self.db.session.flush()
            if enqueue:
                self.expiry.enqueue(order.id, expires_at=deadline)
            order_id: int = order.id
            self.db.session.commit()
            return order_id

    def scheduled(self) -> set[str]:
        members = cast("list[bytes]", self.redis.zrange(self.key, 0, -1))
        return {member.decode() for member in members}

    def status(self, order_id: int) -> str | None:
        with self.app.app_context():
            order = self.db.session.get(self.order, order_id)
            return order and order.status

    def stock(self) -> int:
        with self.app.app_context():
            stock: int = self.db.session.get_one(self.product, "vase").stock
            return stock

    def expire(self) -> dict[str, int]:
        """Do what a sweep and a worker do."""
        claim = self.current.schedule.claim(100)
        return self.current.expire([claimed.order_id for claimed in claim.claimed], claim.lease)


def models(
    db: SQLAlchemy, bind_key: str | None = None, new_id: Callable[[], UUID] | None = None
) -> tuple[type[Any], type[Any]]:
    """Return the classes of orders and of products; ids are integers, or UUIDs if it is told what makes them."""

    class Order(db.Model):  # type: ignore[name-defined, misc]
        __tablename__ = "orders"
        __bind_key__ = bind_key
        id: Mapped[Any] = mapped_column(sa.Uuid() if new_id else sa.Integer(), primary_key=True, default=new_id)
        status: Mapped[str] = mapped_column(sa.String(20))
        expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
        sku: Mapped[str] = mapped_column(sa.String(20))

    class Product(db.Model):  # type: ignore[name-defined, misc]
        __bind_key__ = bind_key
        sku: Mapped[str] = mapped_column(sa.String(20), primary_key=True)
        stock: Mapped[int]

    return Order, Product


MakeShop = Callable[..., FlaskShop]


@pytest.fixture
def make_shop(redis_server: EmbeddedRedis, redis: Redis, tmp_path: Path) -> Iterator[MakeShop]:
    """Make shops; each has a key, and unless told otherwise a database, of its own."""
    shops: list[FlaskShop] = []

    def make(
        *,
        database_url: str = "",
        bind_key: str | None = None,
        new_id: Callable[[], UUID] | None = None,
        expiry: Orders | None = None,
        **config: Any,
    ) -> Any:
        number = next(_names)
        app, db = Flask(f"shop_{number}"), SQLAlchemy()
        url = database_url or f"sqlite:///{tmp_path / f'{number}.db'}"
        app.config["SQLALCHEMY_DATABASE_URI"] = url if bind_key is None else f"sqlite:///{tmp_path / 'other.db'}"
        if bind_key is not None:
            app.config["SQLALCHEMY_BINDS"] = {bind_key: url}
        app.config.update({"ORDERS_REDIS_URL": redis_server.url, "ORDERS_KEY": f"orders_{number}", **config})
        db.init_app(app)
        order, product = models(db, bind_key, new_id)
        expiry = expiry or Orders()
        expiry.init_app(app, model=order)
        with app.app_context():
            db.create_all()
            db.session.add(product(sku="vase", stock=10))
            db.session.commit()
        app.extensions["orders"].store.create_outbox()
        shop = FlaskShop(app, db, expiry, order, product, redis, app.config["ORDERS_KEY"])
        shops.append(shop)
        return shop

    yield make
    for shop in shops:
        shop.current.close()
        with shop.app.app_context():
            for engine in shop.db.engines.values():
                engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def flask_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return with_driver(url)


@pytest.fixture
def shop(make_shop: MakeShop, flask_url: str) -> FlaskShop:
    return make_shop(database_url=flask_url)
