"""The shop's tables, and the extension that expires its orders."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from orders.contrib.flask import Orders


class Base(DeclarativeBase):
    """The base of all models."""


db = SQLAlchemy(model_class=Base)


class Product(db.Model):  # type: ignore[name-defined, misc]
    """A product, and how many are left."""

    __tablename__ = "products"
    __table_args__ = (sa.CheckConstraint("stock >= 0"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(64))
    note: Mapped[str] = mapped_column(sa.String(200))
    shape: Mapped[str] = mapped_column(sa.String(32))
    glaze: Mapped[str] = mapped_column(sa.String(32))
    price: Mapped[int]
    """In cents."""
    stock: Mapped[int]
    is_listed: Mapped[bool]
    is_broken: Mapped[bool]
    """Whether its place on the shelf is broken, so that stock cannot be put back."""


class Order(db.Model):  # type: ignore[name-defined, misc]
    """An order. The library uses only its id, status and deadline."""

    __tablename__ = "orders"

    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(16), default="pending")
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True))
    """The deadline."""
    customer: Mapped[str] = mapped_column(sa.String(32), index=True)
    product_id: Mapped[int] = mapped_column(sa.ForeignKey(Product.id))
    units: Mapped[int]
    total: Mapped[int]
    """In cents."""

    product: Mapped[Product] = relationship(lazy="joined")
    refunds: Mapped[list[Refund]] = relationship(lazy="selectin")


# For reconciling, which finds overdue orders that are missing from the schedule.
IS_PENDING = Order.status == "pending"
sa.Index("orders_overdue", Order.expires_at, Order.id, sqlite_where=IS_PENDING, postgresql_where=IS_PENDING)


class Refund(db.Model):  # type: ignore[name-defined, misc]
    """A refund for the gateway. Its idempotency key makes the gateway pay it once, however often it is requested."""

    __tablename__ = "refunds"

    key: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey(Order.id), index=True)
    reason: Mapped[str] = mapped_column(sa.String(16))
    amount: Mapped[int]


expiry = Orders(db=db, model=Order)
