"""The shop's hooks. The library imports ``order_hooks`` of every installed app."""

from __future__ import annotations

from collections.abc import Sequence

import orders
from examples.shops.django.shop import shop
from examples.shops.django.shop.models import Product


class PlaceIsBroken(Exception):
    """Stock cannot be put back there until an operator mends the place."""


@orders.on_expire
def give_back(_: str, order_ids: Sequence[int]) -> None:
    """Put the stock back, in the transaction that expires the orders."""
    if broken := Product.objects.filter(order__in=order_ids, is_broken=True).first():
        raise PlaceIsBroken(f"the place of the {broken.name.lower()} is broken")
    shop.give_back(order_ids)
