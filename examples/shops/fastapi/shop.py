"""The shop's use cases, independent of the web."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

import orders
from examples.shops.fastapi.models import IS_PENDING, Order, Product, Refund, changes_a_row, transaction


def place(customer: str, product_id: int, units: int) -> Order | None:
    """Take the stock and insert the order, in one transaction; return None if there is not enough stock."""
    expires_at = datetime.now(UTC) + timedelta(seconds=orders.current().settings.timeout)
    enough = (Product.id == product_id) & (Product.stock >= units)
    with transaction() as session:
        if not changes_a_row(session, sa.update(Product).where(enough).values(stock=Product.stock - units)):
            return None
        total = units * session.get_one(Product, product_id).price
        order = Order(customer=customer, product_id=product_id, units=units, total=total, expires_at=expires_at)
        session.add(order)
    return order


def pay(order: Order, reference: str) -> None:
    """Record a payment and, in the same transaction, a refund if one is due."""
    with transaction() as session:
        payment = orders.pay(order.id, reference=reference, session=session)
        if payment.refund_key:  # only then is the payment refunded
            session.merge(
                Refund(key=payment.refund_key, order_id=order.id, reason=payment.verdict.value, amount=order.total)
            )


def cancel(order: Order) -> None:
    """Cancel an order if it is still pending, and put its stock back."""
    is_awaited = (Order.id == order.id) & IS_PENDING
    with transaction() as session:
        cancelled = changes_a_row(session, sa.update(Order).where(is_awaited).values(status="cancelled"))
        if cancelled:
            give_back(session, [order.id])
    if cancelled:
        orders.remove(order.id)  # saves the workers a query at the deadline


def give_back(session: Session, order_ids: Sequence[int]) -> None:
    """Put back the stock of orders. Products are locked in the order of their ids, to prevent deadlocks."""
    units = sa.func.sum(Order.units)
    taken = sa.select(Order.product_id, units).where(Order.id.in_(order_ids)).group_by(Order.product_id)
    for product_id, number in session.execute(taken.order_by(Order.product_id)).all():
        session.execute(sa.update(Product).where(Product.id == product_id).values(stock=Product.stock + number))


def shelf(*, hidden: bool) -> Sequence[Product]:
    """Return the products; with *hidden*, also those that are not listed."""
    with transaction() as session:
        return session.scalars(sa.select(Product).where(Product.is_listed | hidden).order_by(Product.id)).all()


def product(product_id: int) -> Product | None:
    """Return a product."""
    with transaction() as session:
        return session.get(Product, product_id)


def find(order_id: int, customer: str) -> Order | None:
    """Return an order if it belongs to the customer."""
    with transaction() as session:
        return session.scalar(sa.select(Order).where(Order.id == order_id, Order.customer == customer))


def orders_of(customer: str, status: str) -> tuple[Sequence[Order], dict[str, int]]:
    """Return a customer's orders with one status, or all, the latest first, and their number in each status."""
    own = Order.customer == customer
    chosen = sa.select(Order).where(own, (Order.status == status) | (status == "all"))
    with transaction() as session:
        found = session.scalars(chosen.order_by(Order.id.desc())).all()
        counts = (
            session.execute(sa.select(Order.status, sa.func.count()).where(own).group_by(Order.status)).tuples().all()
        )
    return found, dict(counts)


def mend(product_id: int, *, is_broken: bool) -> None:
    """Mend or break the place of a product on the shelf."""
    with transaction() as session:
        session.execute(sa.update(Product).where(Product.id == product_id).values(is_broken=is_broken))
