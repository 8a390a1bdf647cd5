"""The shop's use cases, independent of the web."""

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
    """Take the stock and insert the order, in one transaction; return None if there is not enough stock."""
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
    orders.enqueue(order.pk, expires_at=order.expires_at)  # takes effect after the commit, or not at all
    return order


@transaction.atomic
def pay(order: Order, reference: str) -> None:
    """Record a payment and, in the same transaction, a refund if one is due."""
    payment = orders.pay(order.pk, reference=reference)
    if payment.refund_key:  # only then is the payment refunded
        refund = {"order": order, "reason": payment.verdict.value, "amount": order.total}
        Refund.objects.get_or_create(key=payment.refund_key, defaults=refund)


@transaction.atomic
def cancel(order: Order) -> None:
    """Cancel an order if it is still pending, and put its stock back."""
    if Order.objects.filter(pk=order.pk, status=Status.PENDING).update(status=Status.CANCELLED):
        give_back([order.pk])
        orders.remove(order.pk)  # after the commit; saves the workers a query at the deadline


def give_back(order_ids: Sequence[int]) -> None:
    """Put back the stock of orders. Products are locked in the order of their ids, to prevent deadlocks."""
    taken = Order.objects.filter(pk__in=order_ids).values_list("product").annotate(Sum("units")).order_by("product")
    for product_id, units in taken:
        Product.objects.filter(pk=product_id).update(stock=F("stock") + units)
