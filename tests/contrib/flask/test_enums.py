"""A status column with SQLAlchemy's Enum of a Python enum, which stores the names of its members."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import Mapped, mapped_column

from orders.contrib.flask import Orders
from orders.embedded import EmbeddedRedis
from orders.errors import ConfigError
from orders.expiry.reconcile import Reconciled
from orders.operate.doctor import Patient, Severity
from orders.operate.doctor.about_database import CHECKS
from orders.store import PaymentVerdict


class Phase(StrEnum):
    PENDING = "pending"
    PAID = "paid"
    EXPIRED = "expired"
    CANCELED = "canceled"


class Number(Enum):
    PENDING = 0
    PAID = 1
    EXPIRED = 2
    OPEN = 0  # noqa: PIE796 - an alias


class Wrapped(sa.types.TypeDecorator[Phase]):
    impl = sa.Enum(Phase)
    cache_ok = True


def make(folder: Path, kind: Any, redis_url: str = "redis://127.0.0.1:1", **config: Any) -> tuple[Flask, Orders, Any]:
    app, db = Flask("shop"), SQLAlchemy()
    app.config.update(SQLALCHEMY_DATABASE_URI=f"sqlite:///{folder / 'shop.db'}", ORDERS_REDIS_URL=redis_url, **config)

    class Order(db.Model):  # type: ignore[name-defined, misc]
        __tablename__ = "orders"
        id: Mapped[int] = mapped_column(primary_key=True)
        status: Mapped[Any] = mapped_column(kind)
        expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))

    db.init_app(app)
    return app, Orders(app, db=db, model=Order), Order


BY_VALUE = sa.Enum(Phase, values_callable=lambda phases: [phase.value for phase in phases])


@pytest.mark.parametrize(
    ("kind", "config", "words"),
    [
        (sa.Enum(Phase), {}, ("PENDING", "PAID", "EXPIRED")),
        (sa.Enum(Phase), {"ORDERS_PENDING": "PENDING"}, ("PENDING", "PAID", "EXPIRED")),
        (sa.Enum(Phase), {"ORDERS_PENDING": Phase.PENDING}, ("PENDING", "PAID", "EXPIRED")),
        (sa.Enum(Phase, native_enum=False), {}, ("PENDING", "PAID", "EXPIRED")),
        (Wrapped(), {}, ("PENDING", "PAID", "EXPIRED")),
        (BY_VALUE, {}, ("pending", "paid", "expired")),
        (BY_VALUE, {"ORDERS_PENDING": Phase.PENDING}, ("pending", "paid", "expired")),
        (sa.Enum("pending", "paid", "expired"), {}, ("pending", "paid", "expired")),
        (
            sa.Enum(Number),
            {"ORDERS_PENDING": "OPEN", "ORDERS_PAID": 1, "ORDERS_EXPIRED": Number.EXPIRED},
            ("PENDING", "PAID", "EXPIRED"),
        ),
        (
            sa.Enum(Number, omit_aliases=False),
            {"ORDERS_PENDING": "OPEN", "ORDERS_PAID": 1, "ORDERS_EXPIRED": 2},
            ("OPEN", "PAID", "EXPIRED"),
        ),
        (sa.String(20), {"ORDERS_PENDING": "open"}, ("open", "paid", "expired")),
    ],
)
def test_the_models_own_type_says_what_a_state_is_called(
    tmp_path: Path, kind: Any, config: dict[str, Any], words: tuple[str, ...]
) -> None:
    app, expiry, _ = make(tmp_path, kind, **config)
    settings = expiry.current(app).settings
    assert (settings.pending, settings.paid, settings.expired) == words


def test_the_words_for_cancelled_too(tmp_path: Path) -> None:
    app, expiry, _ = make(tmp_path, sa.Enum(Phase))
    assert expiry.current(app).settings.cancelled == ("CANCELED",)
    app, expiry, _ = make(tmp_path, sa.Enum(Phase), ORDERS_CANCELLED=[Phase.CANCELED])
    assert expiry.current(app).settings.cancelled == ("CANCELED",)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"ORDERS_PENDING": "open"}, "ORDERS_PENDING is 'open': it must be a member of Order.status, which holds"),
        ({"ORDERS_CANCELLED": "gone"}, "ORDERS_CANCELLED is 'gone': it must be a member of Order.status, which holds"),
    ],
)
def test_a_word_that_the_column_cannot_hold_stops_the_start(tmp_path: Path, config: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        make(tmp_path, sa.Enum(Phase), **config)
    assert str(raised.value) == f"{told} PENDING, PAID, EXPIRED, CANCELED"


def test_orders_of_such_a_model_expire_and_are_paid(tmp_path: Path, redis_server: EmbeddedRedis, redis: object) -> None:
    # given a shop whose words are the values of its enum
    app, expiry, order = make(tmp_path, sa.Enum(Phase), redis_server.url)
    db = app.extensions["sqlalchemy"]
    with app.app_context():
        db.create_all()
        for number in (1, 2):
            due = datetime.now(UTC) - timedelta(minutes=1)
            db.session.add(order(id=number, status=Phase.PENDING, expires_at=due))
        db.session.commit()
        # when one is paid and the other is reconciled
        assert expiry.pay(1).verdict is PaymentVerdict.ACCEPTED
        db.session.commit()
        current = expiry.current()
        assert current.reconcile() == Reconciled(seen=1, added=1, complete=True)
        claim = current.schedule.claim(10)
        # then it expires
        assert current.expire(["2"], claim.lease) == {"expired": 1}
        assert [each.status for each in db.session.query(order).order_by(order.id)] == [Phase.PAID, Phase.EXPIRED]
        [words] = CHECKS["database.words"](Patient(current))
        assert words.severity is Severity.OK
