"""The shop's tables. ``python -m examples.shops.fastapi.models`` creates them and fills the shelf."""

from __future__ import annotations

from contextlib import AbstractContextManager, closing
from datetime import datetime
from functools import cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship, sessionmaker

import orders
from examples.shops.catalogue import PRODUCTS
from orders.store.sql_store import SqlStore


class Base(DeclarativeBase):
    """The base of all models."""


class Product(Base):
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


class Order(Base):
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


class Refund(Base):
    """A refund for the gateway. Its idempotency key makes the gateway pay it once, however often it is requested."""

    __tablename__ = "refunds"

    key: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    order_id: Mapped[int] = mapped_column(sa.ForeignKey(Order.id), index=True)
    reason: Mapped[str] = mapped_column(sa.String(16))
    amount: Mapped[int]


@cache
def engine() -> sa.Engine:
    """Return the shop's engine."""
    return sa.create_engine(orders.current().settings.database_url)


def transaction() -> AbstractContextManager[Session]:
    """Return a session in a transaction that is committed at the end of the block."""
    return sessionmaker(engine(), expire_on_commit=False).begin()


def changes_a_row(session: Session, update: sa.Update) -> bool:
    """Run a conditional update; return whether its condition was true."""
    return cast("sa.CursorResult[Any]", session.execute(update)).rowcount == 1


def open_shop() -> None:
    """Create the tables, and the products if there are none."""
    Base.metadata.create_all(engine())
    with closing(SqlStore(orders.current().settings)) as store:
        store.create_outbox()  # the table of events; `orders init-db` does the same
    with transaction() as session:
        if not session.scalar(sa.select(sa.func.count(Product.id))):
            session.add_all(Product(**product) for product in PRODUCTS)


if __name__ == "__main__":
    open_shop()
