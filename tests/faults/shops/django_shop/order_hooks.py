"""What the shop adds: stock that comes back, and one order that cannot give it."""

from __future__ import annotations

import os
from collections.abc import Sequence

import orders
from tests.faults.shops.django_shop.models import GivenBack, Order


@orders.on_expire
def give_back(using: str, order_ids: Sequence[int]) -> None:
    for order in Order.objects.using(using).filter(pk__in=order_ids):
        if str(order.pk) == os.environ.get("SHOP_POISON"):
            raise RuntimeError(f"no place for order {order.pk}")
        GivenBack.objects.using(using).create(order=order)
