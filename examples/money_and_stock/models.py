"""The shop's own tables. ``ORDERS_*`` give the library the table, columns and states of `Purchase`."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

AWAITING_PAYMENT = "awaiting_payment"
PAID = "paid"
LAPSED = "lapsed"
CANCELLED = "cancelled"

UTC_DATETIME = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
"""A datetime in UTC. SQLite and MySQL return it naive. MySQL's default DATETIME has no fractions of a second."""


class Base(DeclarativeBase):
    """The base of all models."""


class Product(Base):
    """A product, and how many are left."""

    __tablename__ = "products"
    __table_args__ = (sa.CheckConstraint("stock >= 0"),)

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    price: Mapped[int]
    """In cents."""
    stock: Mapped[int]


class Coupon(Base):
    """A discount for a limited number of orders."""

    __tablename__ = "coupons"
    __table_args__ = (sa.CheckConstraint("uses_left >= 0"),)

    code: Mapped[str] = mapped_column(sa.String(32), primary_key=True)
    discount: Mapped[int]
    """In cents."""
    uses_left: Mapped[int]


class Purchase(Base):
    """An order."""

    __tablename__ = "purchases"

    number: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    state: Mapped[str] = mapped_column(sa.String(32), default=AWAITING_PAYMENT)
    pay_until: Mapped[datetime] = mapped_column(UTC_DATETIME)
    """The deadline."""
    product: Mapped[str] = mapped_column(sa.ForeignKey("products.name"))
    units: Mapped[int]
    coupon: Mapped[str | None] = mapped_column(sa.ForeignKey("coupons.code"))
    total: Mapped[int]
    """In cents."""


IS_AWAITED = Purchase.state == AWAITING_PAYMENT
# For reconciling, which finds overdue orders that are missing from the schedule.
sa.Index("purchases_overdue", Purchase.pay_until, Purchase.number, sqlite_where=IS_AWAITED, postgresql_where=IS_AWAITED)


class PaymentNotice(Base):
    """A callback of the gateway, and the verdict on its payment."""

    __tablename__ = "payment_notices"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(sa.String(64))
    """The order's number. Not a foreign key: the callback may arrive before the order is committed."""
    reference: Mapped[str] = mapped_column(sa.String(64))
    verdict: Mapped[str] = mapped_column(sa.String(16))


class HandledEvent(Base):
    """An event that was handled. Its key is unique, so no event is handled twice."""

    __tablename__ = "handled_events"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    handled_at: Mapped[datetime] = mapped_column(UTC_DATETIME)


class Mail(Base):
    """A mail that the shop's mailer sends."""

    __tablename__ = "mails"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(sa.String(64))
    text: Mapped[str] = mapped_column(sa.Text)
