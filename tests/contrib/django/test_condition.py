"""The shop's condition as a ``Q``, on real databases."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db.models import Exists, OuterRef, Q
from django.db.models.functions import Now

from orders.contrib.django.condition import to_expression
from orders.contrib.django.expiry import DjangoExpiry
from orders.contrib.django.store import DjangoStore
from orders.errors import ConfigError
from orders.store.outcomes import State
from tests.contrib.django.conftest import Project, claim_and_expire
from tests.contrib.django.shop.models import Item, Order


def on_condition(project: Project) -> DjangoExpiry:
    """Return the use cases with the project's condition, as `orders.contrib.django.expiry.connect` does."""
    expiry = project.expiry()
    store = DjangoStore(
        expiry.settings,
        lambda: project.alias,
        hooks=project.hooks,
        to_python=Order._meta.pk.to_python,
        to_expression=partial(to_expression, Order, lambda: project.alias),
    )
    return DjangoExpiry(expiry.settings, expiry.schedule, store, hooks=project.hooks)


CONDITIONS: dict[str, Any] = {
    "a relation": lambda: Q(items__units__lt=5),
    "its absence": lambda: ~Q(items__units=7),
    "a subquery": lambda: ~Exists(Item.objects.filter(order=OuterRef("pk"), units__gte=5)),
    "text with a percent sign and a colon": lambda: Q(items__units=1) & ~Q(items__product__name__contains="100% : x"),
    "the time": lambda: Q(items__units=1, expires_at__lt=Now() + timedelta(seconds=1)),
}


@pytest.mark.parametrize("named", CONDITIONS)
def test_only_orders_for_which_it_holds_expire(project: Project, named: str) -> None:
    given: list[Any] = []

    @project.hooks.condition
    def may_expire(model: type[Order]) -> Any:
        given.append(model)
        return CONDITIONS[named]()

    expiry = on_condition(project)
    small, large = project.place(expiry, units=1), project.place(expiry, units=7)
    assert claim_and_expire(expiry) == {"expired": 1, "kept": 1}
    assert (project.status(small), project.status(large)) == ("expired", "pending")
    assert set(given) == {Order}
    assert expiry.check(large.pk) is State.KEPT
    assert expiry.store.count_kept() == 1
    # and once it holds, the other one expires too
    Item.objects.using(project.alias).filter(order=large).update(units=1)
    assert expiry.check(large.pk) is State.EXPIRED


def test_ids_that_match_nothing_keep_all(project: Project) -> None:
    project.hooks.condition(lambda model: Q(pk__in=[]))
    expiry = on_condition(project)
    project.place(expiry)
    assert claim_and_expire(expiry) == {"kept": 1}


@pytest.mark.parametrize("given", [Q(paid_on=None), "paid_at IS NULL", None, 7])
def test_what_is_no_condition_on_the_model_is_named(project: Project, given: Any) -> None:
    project.hooks.condition(lambda model: given)
    store = on_condition(project).store
    with pytest.raises(ConfigError, match=r"@orders.condition returned .*: it must be a condition on shop.Order"):
        store.check()
