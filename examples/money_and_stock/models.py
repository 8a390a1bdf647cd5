"""The shop's own tables, with names and words of its own. ``ORDERS_*`` tell the library about those of `Purchase`."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

AWAITING_PAYMENT = "awaiting_payment"
PAID = "paid"
LAPSED = "lapsed"
CANCELLED = "cancelled"

MOMENT = sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
"""An instant in UTC. SQLite and MySQL give it back naive; MySQL's own DATETIME has whole seconds."""


class Base(DeclarativeBase):
    """The base of all models."""


class Product(Base):
    """What is sold, and how much of it is left."""

    __tablename__ = "products"
    __table_args__ = (sa.CheckConstraint("stock >= 0"),)

    name: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    price: Mapped[int]
    """In cents."""
    stock: Mapped[int]


class Coupon(Base):
    """A discount that so many orders may use."""

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
    pay_until: Mapped[datetime] = mapped_column(MOMENT)
    """The deadline."""
    product: Mapped[str] = mapped_column(sa.ForeignKey("products.name"))
    units: Mapped[int]
    coupon: Mapped[str | None] = mapped_column(sa.ForeignKey("coupons.code"))
    total: Mapped[int]
    """In cents."""


IS_AWAITED = Purchase.state == AWAITING_PAYMENT
# For reconciling, which looks for overdue orders that the schedule lacks.
sa.Index("purchases_overdue", Purchase.pay_until, Purchase.number, sqlite_where=IS_AWAITED, postgresql_where=IS_AWAITED)


class PaymentNotice(Base):
    """A callback of the gateway, and what was decided about it."""

    __tablename__ = "payment_notices"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(sa.String(64))
    """Of the order. No foreign key: a notice may come before its order."""
    reference: Mapped[str] = mapped_column(sa.String(64))
    verdict: Mapped[str] = mapped_column(sa.String(16))


class HandledEvent(Base):
    """An event that was handled: its key is unique, so nothing is done twice."""

    __tablename__ = "handled_events"

    event_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    handled_at: Mapped[datetime] = mapped_column(MOMENT)


class Mail(Base):
    """A mail, for the shop's mailer to send."""

    __tablename__ = "mails"

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str] = mapped_column(sa.String(64))
    text: Mapped[str] = mapped_column(sa.Text)
