"""The shop's hooks. ``ORDERS_HOOKS`` names this module, for the web server and the workers."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

import orders
from examples.shops.fastapi import shop
from examples.shops.fastapi.models import Order, Product


class PlaceIsBroken(Exception):
    """Stock cannot be put back there until an operator mends the place."""


@orders.on_expire
def give_back(session: Session, order_ids: Sequence[int]) -> None:
    """Put the stock back, in the transaction that expires the orders."""
    broken = sa.select(Product.name).join(Order).where(Order.id.in_(order_ids), Product.is_broken)
    if name := session.scalar(broken.limit(1)):
        raise PlaceIsBroken(f"the place of the {name.lower()} is broken")
    shop.give_back(session, order_ids)
