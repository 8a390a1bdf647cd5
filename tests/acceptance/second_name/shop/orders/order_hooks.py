"""What the shop adds, found because its app is installed."""

from collections.abc import Sequence

import order_expiry

from orders.models import Order


@order_expiry.on_expire
def give_back(using: str, order_ids: Sequence[int]) -> None:
    Order.objects.using(using).filter(pk__in=order_ids).update(is_given_back=True)
