"""A Flask app whose settings, but for its model and its database, are ``ORDERS_*`` in the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from orders.contrib.flask import Orders


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    status: Mapped[str]
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))


class GivenBack(Base):
    """That an order has given its stock back."""

    __tablename__ = "given_back"

    id: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.BigInteger)


app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = os.environ["SHOP_DATABASE_URL"]
if "SHOP_POOLER" in os.environ:
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": {"prepare_threshold": None}}
db = SQLAlchemy(app, model_class=Base)
expiry = Orders(app, db=db, model=Order)


@expiry.on_expire
def give_back(session: Session, order_ids: Sequence[int]) -> None:
    for order in session.scalars(sa.select(Order).where(Order.id.in_(order_ids))):
        if str(order.id) == os.environ.get("SHOP_POISON"):
            raise RuntimeError(f"no place for order {order.id}")
        session.add(GivenBack(order_id=order.id))
