"""What a shop calls, for its type checker too."""

from datetime import timedelta

import order_expiry
from django.db import transaction
from django.utils import timezone

from orders.models import Order


def place(seconds: float) -> int:
    with transaction.atomic():
        order = Order.objects.create(expires_at=timezone.now() + timedelta(seconds=seconds))
        order_expiry.enqueue(order.pk, expires_at=order.expires_at)
    return int(order.pk)


def pay(order_id: int) -> order_expiry.Payment:
    return order_expiry.pay(order_id, reference=f"charge-{order_id}")


def place_wrongly(order_id: float) -> None:
    order_expiry.enqueue(order_id)  # type: ignore[arg-type]  # which is unused if the types are not found
