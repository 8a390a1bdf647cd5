"""The payment tests and the race of the library, through the extension and on Flask-SQLAlchemy's own engine."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from redis import Redis

from orders.config.settings import Settings
from orders.contrib.flask import Orders
from orders.embedded import EmbeddedRedis
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.sorted_set import Schedule
from orders.store.outcomes import Payment
from tests.conftest import Adapter, ManualClock, Shop
from tests.integration import racing, test_races
from tests.integration.test_payment import *  # noqa: F403 - collected here again, with the shop below
from tests.integration.test_payment_joined import *  # noqa: F403
from tests.integration.test_payment_late import *  # noqa: F403
from tests.servers import with_driver

# It is about a transaction of its own, which a payment in a request has not.
del test_a_conflict_is_tried_again_in_a_transaction_of_its_own_only  # noqa: F821


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'shop.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return with_driver(url)


def open_app(settings: Settings) -> tuple[Flask, SQLAlchemy, Orders]:
    app, db = Flask("shop"), SQLAlchemy()
    given = settings.model_dump(include=settings.model_fields_set)
    app.config["SQLALCHEMY_DATABASE_URI"] = given.pop("database_url")
    app.config.update({f"ORDERS_{name.upper()}": value for name, value in given.items()})
    db.init_app(app)
    return app, db, Orders(app, db=db)


@pytest.fixture
def settings(request: pytest.FixtureRequest, redis_server: EmbeddedRedis, database_url: str) -> Settings:
    given = (
        {"sweep_interval": 0.5, "lease": 2}
        if request.node.originalname == "test_the_race_through_the_extension"
        else {}
    )
    return Settings(redis_url=redis_server.url, database_url=database_url, **given)


@dataclass
class Request:
    """Payments that come as requests: each in a context of its own, which is committed."""

    app: Flask
    db: SQLAlchemy
    expiry: Orders

    def pay(self, order_id: Any, *, reference: str | None = None) -> Payment:
        with self.app.app_context():
            payment = self.expiry.pay(order_id, reference=reference)
            self.db.session.commit()
            return payment


class InRequests(OrderExpiry):
    """The use cases of an app, of which those without a session of their own come as requests."""

    request: Request

    def pay(self, order_id: Any, *, reference: str | None = None, session: Any = None) -> Payment:
        if session is None:
            return self.request.pay(order_id, reference=reference)
        return super().pay(order_id, reference=reference, session=session)


@pytest.fixture
def shop(settings: Settings, schedule: Schedule, redis: Redis) -> Iterator[Shop]:
    app, db, extension = open_app(settings)
    with app.app_context():
        engine = db.engine
    own, store, clock = extension.current(app), app.extensions["orders"].store, ManualClock()
    slept: list[float] = []
    expiry = InRequests(
        own.settings, schedule, store, hooks=own.hooks, clock=clock, sleep=slept.append, jitter=lambda: 0.0
    )
    expiry.request = Request(app, db, extension)
    yield Shop(own.settings, expiry, store, schedule, redis, engine, clock, slept)
    own.close()
    engine.dispose()


class RequestRivals(racing.Rivals):
    """Rivals of whom those that pay do so in requests, and the others use what the app's workers use."""

    def __init__(self, settings: Settings, *arguments: Any) -> None:
        super().__init__(settings, *arguments)
        app, db, extension = open_app(settings)
        extension.on_expire(racing.releasing(Adapter()))
        extension.on_event(self._see)
        self._expiry.close()
        self._expiry, self._request = extension.current(app), Request(app, db, extension)

    def _pay(self, chance: random.Random) -> None:
        order = self._order(chance)
        reference = f"ch_{order}_{chance.randint(1, 2)}"
        self._note(order, reference, self._request.pay(order, reference=reference))


def race(*arguments: Any) -> None:
    """Run in a process of its own; see `racing.race`."""
    racing.Rivals = RequestRivals  # type: ignore[assignment, misc]
    racing.race(*arguments)


@pytest.mark.faults
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_race_through_the_extension(
    shop: Shop,
    settings: Settings,
    tmp_path: Path,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_races, "race", race)
    test_races.test_every_order_ends_once_and_the_books_balance(shop, settings, tmp_path, request)
