"""What the shop's own transactions of Django commit or roll back, and what Redis hears of it, on real databases."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections, transaction
from django.utils import timezone

from orders.contrib.django.models import OrderEvent
from orders.embedded import free_port
from orders.errors import InvalidDeadline, StoreConflict
from orders.store.outcomes import PaymentVerdict, State
from tests.contrib.django.conftest import Project, claim_and_expire
from tests.contrib.django.shop.models import Item, Order


class Undone(Exception):
    pass


# What waits for the commit


def test_enqueue_waits_for_the_commit(project: Project) -> None:
    expiry = project.expiry()
    with transaction.atomic(using=project.alias):
        order = project.place(expiry, due=60)
        with transaction.atomic(using=project.alias):
            expiry.enqueue(order.pk, expires_at=order.expires_at)
        assert project.score(order) is None
    assert project.score(order) == pytest.approx(order.expires_at.timestamp(), abs=1e-5)
    assert expiry.remove(order.pk) is True
    assert project.score(order) is None


def test_what_is_rolled_back_is_never_scheduled(project: Project) -> None:
    expiry = project.expiry()
    with pytest.raises(Undone), transaction.atomic(using=project.alias):  # noqa: PT012
        project.place(expiry, due=60)
        raise Undone
    with transaction.atomic(using=project.alias):
        with pytest.raises(Undone), transaction.atomic(using=project.alias):  # noqa: PT012
            project.place(expiry, due=60)
            raise Undone
        kept = project.place(expiry, due=60)
    assert project.redis.zrange("orders", 0, -1) == [str(kept.pk).encode()]


def test_what_the_caller_does_wrong_is_told_at_once(project: Project) -> None:
    expiry = project.expiry()
    with transaction.atomic(using=project.alias), pytest.raises(InvalidDeadline):
        expiry.enqueue("42", expires_at=timezone.now().replace(tzinfo=None))
    with pytest.raises(TypeError, match=r"not accepted in Django"):
        expiry.pay("42", session=transaction)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"not accepted in Django"):
        expiry.enqueue("42", session=transaction)  # type: ignore[arg-type]


def test_remove_waits_too_and_cannot_tell(project: Project) -> None:
    expiry = project.expiry()
    order = project.place(expiry, due=60)
    with transaction.atomic(using=project.alias):
        assert expiry.remove(order.pk) is False
        assert project.score(order) is not None
    assert project.score(order) is None


@pytest.mark.parametrize("joins", [False, True], ids=["at once", "after a commit"])
def test_a_redis_that_is_down_breaks_no_checkout(
    project: Project, joins: bool, caplog: pytest.LogCaptureFixture
) -> None:
    # given a shop whose Redis is down
    down = project.expiry(REDIS_URL=f"redis://127.0.0.1:{free_port()}")
    # when orders are placed, extended, paid and removed
    if joins:
        with transaction.atomic(using=project.alias):
            order = project.place(down, due=-60)
            paid = project.place(down, due=60)
    else:
        order, paid = project.place(down, due=-60), project.place(down, due=60)
    assert down.extend(paid.pk, timeout=600)
    assert down.pay(paid.pk).verdict is PaymentVerdict.ACCEPTED
    down.remove(paid.pk)
    # then what was committed stands, is logged and counted
    assert [project.status(each) for each in (order, paid)] == ["pending", "paid"]
    assert f"order {order.pk}" in caplog.text
    assert down.outages.count == 5
    # and reconciling finds what the schedule lacks
    up = project.expiry()
    assert up.reconcile().added == 1
    assert claim_and_expire(up) == {"expired": 1}


# What joins it


def fail_to_take(using: str, order_id: Any) -> bool:
    raise ZeroDivisionError


def test_a_payment_commits_with_what_the_shop_writes(project: Project) -> None:
    expiry = project.expiry()
    order = project.place(expiry, due=60)
    with transaction.atomic(using=project.alias):
        Item.objects.using(project.alias).filter(order=order).update(units=7)
        assert expiry.pay(order.pk, reference="ch_1").verdict is PaymentVerdict.ACCEPTED
        assert project.status(order) == "paid"  # by the same connection
        assert project.score(order) is not None
    assert (project.status(order), project.score(order)) == ("paid", None)
    [event] = OrderEvent.objects.using(project.alias).all()
    assert (event.order_id, event.kind, event.data, event.delivered_at) == (
        str(order.pk),
        "paid",
        {"reference": "ch_1"},
        None,
    )
    assert abs(event.at - timezone.now()) < timedelta(seconds=30)


def test_a_payment_is_rolled_back_with_what_the_shop_writes(project: Project) -> None:
    expiry = project.expiry()
    order = project.place(expiry, due=60)
    with pytest.raises(Undone), transaction.atomic(using=project.alias):  # noqa: PT012
        expiry.pay(order.pk)
        expiry.extend(order.pk, timeout=5)
        raise Undone
    assert project.status(order) == "pending"
    assert project.score(order) == pytest.approx(order.expires_at.timestamp(), abs=1e-5)
    assert not OrderEvent.objects.using(project.alias).exists()


def test_what_the_caller_has_not_committed_can_be_paid(project: Project) -> None:
    expiry = project.expiry()
    with transaction.atomic(using=project.alias):
        order = project.place(expiry, due=60)
        assert expiry.pay(order.pk).verdict is PaymentVerdict.ACCEPTED
    assert (project.status(order), project.score(order)) == ("paid", None)


def test_check_in_a_transaction_is_part_of_it(project: Project) -> None:
    expiry = project.expiry()
    order = project.place(expiry)
    with pytest.raises(Undone), transaction.atomic(using=project.alias):  # noqa: PT012
        assert expiry.check(order.pk) is State.EXPIRED
        raise Undone
    assert (project.status(order), project.score(order) is None) == ("pending", False)
    assert expiry.check(order.pk) is State.EXPIRED
    assert (project.status(order), project.score(order)) == ("expired", None)


def test_an_error_in_the_callers_transaction_leaves_it_usable(project: Project) -> None:
    # given a database that refuses the change
    expiry = project.expiry()
    order = project.place(expiry, due=60)
    project.hooks.on_late_payment(fail_to_take)
    Order.objects.using(project.alias).filter(pk=order.pk).update(status="expired")
    # when a payment fails in the caller's transaction, and the caller goes on
    with transaction.atomic(using=project.alias):
        with pytest.raises(ZeroDivisionError):
            expiry.pay(order.pk)
        assert not transaction.get_rollback(using=project.alias)
        Item.objects.using(project.alias).filter(order=order).update(units=7)
    # then only the payment is undone
    assert project.status(order) == "expired"
    assert Item.objects.using(project.alias).get(order=order).units == 7


def test_a_transaction_that_is_broken_already_says_so(project: Project) -> None:
    expiry = project.expiry()
    order = project.place(expiry, due=60)
    expiry.store.check()
    with transaction.atomic(using=project.alias):
        transaction.set_rollback(True, using=project.alias)
        with pytest.raises(transaction.TransactionManagementError):
            expiry.pay(order.pk)
    assert project.status(order) == "pending"


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_deadlock_in_the_callers_transaction_is_told_as_one(project: Project) -> None:
    # given two transactions that have each locked what the other wants
    expiry = project.expiry()
    first, second = project.place(expiry, due=60), project.place(expiry, due=60)
    other_waits = threading.Event()

    def lock_both() -> None:
        connection = connections[project.alias]
        with transaction.atomic(using=project.alias), connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SET LOCAL deadlock_timeout = '30s'")
            else:  # the database gives up who has written less
                cursor.execute("CREATE TEMPORARY TABLE much (n INT)")
                cursor.executemany("INSERT INTO much VALUES (%s)", [(number,) for number in range(500)])
            Order.objects.using(project.alias).filter(pk=second.pk).update(status="seen")
            other_waits.set()
            Order.objects.using(project.alias).filter(pk=first.pk).update(status="seen")
        connections.close_all()

    other = threading.Thread(target=lock_both)
    # when the second meets the first
    with transaction.atomic(using=project.alias):
        expiry.pay(first.pk)
        other.start()
        assert other_waits.wait(10)
        with pytest.raises(StoreConflict):
            expiry.pay(second.pk)
        transaction.set_rollback(True, using=project.alias)
    other.join(10)
    # then the caller knows that it may try again
    assert [project.status(order) for order in (first, second)] == ["seen", "seen"]
