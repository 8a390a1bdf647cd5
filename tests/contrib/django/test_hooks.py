"""Hooks that use Django's ORM in the transaction of an expiry or a payment, on real databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import F

from orders.errors import ExpiryFailed, StoreError
from orders.store.outcomes import PaymentVerdict
from tests.contrib.django.conftest import Project, claim_and_expire
from tests.contrib.django.shop.models import Item, Order, Product


def give_back(using: str, order_ids: Sequence[Any]) -> None:
    items = Item.objects.using(using).filter(order_id__in=order_ids)
    for item in items.select_related("product").order_by("product_id"):
        Product.objects.using(using).filter(pk=item.product.pk).update(stock=F("stock") + item.units)


def test_a_hook_uses_the_orm_in_the_expiring_transaction(project: Project) -> None:
    expiry = project.expiry()
    given: list[tuple[str, list[Any]]] = []
    project.hooks.on_expire(give_back)
    project.hooks.on_expire(lambda using, order_ids: given.append((using, list(order_ids))))
    orders = [project.place(expiry, units=units) for units in (1, 2)]
    assert claim_and_expire(expiry) == {"expired": 2}
    assert project.stock() == 3
    assert given == [(project.alias, sorted(order.pk for order in orders))]


def test_a_hook_that_fails_undoes_what_it_has_written_and_the_expiry(project: Project) -> None:
    expiry = project.expiry()

    def fail(using: str, order_ids: Sequence[Any]) -> None:
        give_back(using, order_ids)
        Product.objects.using(using).create(name="tea")  # there is one

    project.hooks.on_expire(fail)
    order = project.place(expiry)
    with pytest.raises(ExpiryFailed, match="rejected the statement") as caught:
        claim_and_expire(expiry)
    assert isinstance(caught.value.__cause__, StoreError)
    assert isinstance(caught.value.__cause__.__cause__, IntegrityError)
    assert (project.status(order), project.stock()) == ("pending", 0)


def roll_back(using: str, order_ids: Sequence[Any]) -> None:
    give_back(using, order_ids)
    transaction.set_rollback(True, using=using)


def swallow(using: str, order_ids: Sequence[Any]) -> None:
    give_back(using, order_ids)
    try:
        with transaction.atomic(using=using, savepoint=False):
            Product.objects.using(using).create(name="tea")
    except DatabaseError:
        pass


@pytest.mark.parametrize("hook", [roll_back, swallow])
def test_a_hook_that_breaks_the_transaction_undoes_the_expiry(project: Project, hook: Any) -> None:
    expiry = project.expiry()
    project.hooks.on_expire(hook)
    order = project.place(expiry)
    with pytest.raises(ExpiryFailed, match=r"a hook has rolled back|can't execute queries until the end"):
        claim_and_expire(expiry)
    assert (project.status(order), project.stock()) == ("pending", 0)
    assert project.score(order) is not None


def test_a_late_payment_takes_stock_again_or_leaves_no_trace(project: Project) -> None:
    expiry = project.expiry()
    project.hooks.on_expire(give_back)

    @project.hooks.on_late_payment
    def take_again(using: str, order_id: Any) -> bool:
        tea = Product.objects.using(using).select_for_update().get(name="tea")
        tea.stock -= Item.objects.using(using).get(order_id=order_id).units
        tea.save(using=using)
        return tea.stock >= 0

    first, second = project.place(expiry, units=2), project.place(expiry, units=3)
    claim_and_expire(expiry)
    Product.objects.using(project.alias).update(stock=4)
    assert expiry.pay(first.pk, reference="ch_1").was_revived
    assert expiry.pay(second.pk, reference="ch_2").verdict is PaymentVerdict.TOO_LATE
    assert project.stock() == 2


def test_the_guard_leaves_no_connection_open(project: Project) -> None:
    expiry = project.expiry()
    opened: list[Any] = []

    @project.hooks.guard
    def paid(order_id: str) -> Any:
        Order.objects.using(project.alias).get(pk=order_id)
        opened.append(connections[project.alias])
        return "paid"

    order = project.place(expiry)
    assert claim_and_expire(expiry) == {"paid": 1}
    assert project.status(order) == "paid"
    assert opened[0].connection is None
