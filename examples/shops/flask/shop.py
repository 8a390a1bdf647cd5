"""The shop's use cases. They all use the transaction of ``db.session``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session

from examples.shops.flask.models import IS_PENDING, Order, Product, Refund, db, expiry


class PlaceIsBroken(Exception):
    """Stock cannot be put back there until an operator mends the place."""


def place(customer: str, product_id: int, units: int) -> Order | None:
    """Take the stock and insert the order, in one transaction; return None if there is not enough stock."""
    expires_at = datetime.now(UTC) + timedelta(seconds=expiry.current().settings.timeout)
    enough = (Product.id == product_id) & (Product.stock >= units)
    if not changes_a_row(sa.update(Product).where(enough).values(stock=Product.stock - units)):
        return None
    total = units * db.session.get_one(Product, product_id).price
    order = Order(customer=customer, product_id=product_id, units=units, total=total, expires_at=expires_at)
    db.session.add(order)
    db.session.flush()  # the database assigns the id
    expiry.enqueue(order.id, expires_at=expires_at)  # takes effect after the commit, or not at all
    db.session.commit()
    return order


def pay(order: Order, reference: str) -> None:
    """Record a payment and, in the same transaction, a refund if one is due."""
    payment = expiry.pay(order.id, reference=reference)
    if payment.refund_key:  # only then is the payment refunded
        db.session.merge(
            Refund(key=payment.refund_key, order_id=order.id, reason=payment.verdict.value, amount=order.total)
        )
    db.session.commit()


def cancel(order: Order) -> None:
    """Cancel an order if it is still pending, and put its stock back."""
    is_awaited = (Order.id == order.id) & IS_PENDING
    if changes_a_row(sa.update(Order).where(is_awaited).values(status="cancelled")):
        give_back(db.session(), [order.id])
        expiry.remove(order.id)  # after the commit; saves the workers a query at the deadline
    db.session.commit()


@expiry.on_expire
def expire(session: Session, order_ids: Sequence[int]) -> None:
    """Put the stock back, in the transaction that expires the orders."""
    broken = sa.select(Product.name).join(Order).where(Order.id.in_(order_ids), Product.is_broken)
    if name := session.scalar(broken.limit(1)):
        raise PlaceIsBroken(f"the place of the {name.lower()} is broken")
    give_back(session, order_ids)


def give_back(session: Session, order_ids: Sequence[int]) -> None:
    """Put back the stock of orders. Products are locked in the order of their ids, to prevent deadlocks."""
    units = sa.func.sum(Order.units)
    taken = sa.select(Order.product_id, units).where(Order.id.in_(order_ids)).group_by(Order.product_id)
    for product_id, number in session.execute(taken.order_by(Order.product_id)).all():
        session.execute(sa.update(Product).where(Product.id == product_id).values(stock=Product.stock + number))


def changes_a_row(update: sa.Update) -> bool:
    """Run a conditional update; return whether its condition was true."""
    return cast("sa.CursorResult[Any]", db.session.execute(update)).rowcount == 1
