"""What the shop does with its orders. Nothing here knows of the web."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

import orders
from examples.shops.django.shop.models import Order, Product, Refund

Status = Order.Status


@transaction.atomic
def place(customer: str, product_id: int, units: int) -> Order | None:
    """Take the stock and write the order, in one transaction; return None if there is not enough left."""
    enough = Product.objects.filter(pk=product_id, stock__gte=units)
    if not enough.update(stock=F("stock") - units):
        return None
    order = Order.objects.create(
        customer=customer,
        product_id=product_id,
        units=units,
        total=units * Product.objects.get(pk=product_id).price,
        expires_at=timezone.now() + timedelta(seconds=orders.current().settings.timeout),
    )
    orders.enqueue(order.pk, expires_at=order.expires_at)  # happens after the commit, or not at all
    return order


@transaction.atomic
def pay(order: Order, reference: str) -> None:
    """Note a payment, whatever becomes of it. A refund is written down in the same transaction."""
    payment = orders.pay(order.pk, reference=reference)
    if payment.refund_key:  # in this case the money goes back, and in no other
        refund = {"order": order, "reason": payment.verdict.value, "amount": order.total}
        Refund.objects.get_or_create(key=payment.refund_key, defaults=refund)


@transaction.atomic
def cancel(order: Order) -> None:
    """Cancel an order if it is still pending, and give back what it took."""
    if Order.objects.filter(pk=order.pk, status=Status.PENDING).update(status=Status.CANCELLED):
        give_back([order.pk])
        orders.remove(order.pk)  # after the commit; it saves the workers a look


def give_back(order_ids: Sequence[int]) -> None:
    """Put back on the shelf what orders had taken. Products are locked in the order of their ids: no two deadlock."""
    taken = Order.objects.filter(pk__in=order_ids).values_list("product").annotate(Sum("units")).order_by("product")
    for product_id, units in taken:
        Product.objects.filter(pk=product_id).update(stock=F("stock") + units)
