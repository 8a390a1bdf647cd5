"""What the shop adds, found because its app is installed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import F

import orders
from tests.contrib.django.shop.models import Item, Product


@orders.on_expire
def give_back(using: str, order_ids: Sequence[Any]) -> None:
    items = Item.objects.using(using).filter(order_id__in=order_ids)
    for item in items.select_related("product").order_by("product_id"):
        Product.objects.using(using).filter(pk=item.product.pk).update(stock=F("stock") + item.units)


@orders.on_event
def see(event: orders.Event) -> None:
    Product.objects.get_or_create(name=f"{event.kind} {event.order_id}")
