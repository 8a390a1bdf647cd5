"""Takes and returns stock and coupons, with conditional updates: no value is read first and written later.

Products are locked before coupons, and both in the order of their keys, so that transactions do not deadlock.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from examples.money_and_stock.database import changes_a_row
from examples.money_and_stock.models import Coupon, Product, Purchase


def take(session: Session, product: str, units: int, coupon: str | None) -> bool:
    """Take stock and coupon for an order; return whether both were available. If not, the caller must roll back."""
    enough = (Product.name == product) & (Product.stock >= units)
    if not changes_a_row(session, sa.update(Product).where(enough).values(stock=Product.stock - units)):
        return False
    usable = (Coupon.code == coupon) & (Coupon.uses_left > 0)
    return coupon is None or changes_a_row(
        session, sa.update(Coupon).where(usable).values(uses_left=Coupon.uses_left - 1)
    )


def give_back(session: Session, numbers: Sequence[str]) -> None:
    """Return the stock and coupons of orders, with one update each."""
    of_these = Purchase.number.in_(numbers)

    units = sa.select(sa.func.sum(Purchase.units)).where(of_these, Purchase.product == Product.name)
    products = Product.name.in_(sa.select(Purchase.product).where(of_these))
    session.execute(sa.select(Product.name).where(products).order_by(Product.name).with_for_update())
    session.execute(sa.update(Product).where(products).values(stock=Product.stock + units.scalar_subquery()))

    uses = sa.select(sa.func.count()).where(of_these, Purchase.coupon == Coupon.code)
    coupons = Coupon.code.in_(sa.select(Purchase.coupon).where(of_these))
    session.execute(sa.select(Coupon.code).where(coupons).order_by(Coupon.code).with_for_update())
    session.execute(sa.update(Coupon).where(coupons).values(uses_left=Coupon.uses_left + uses.scalar_subquery()))
