"""What the shop's own transactions of Django commit or roll back, and what Redis hears of it, on real databases."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from django.db import DatabaseError, IntegrityError, connections, transaction
from django.db.models import F
from django.utils import timezone

from orders.contrib.django.models import OrderEvent
from orders.embedded import free_port
from orders.errors import ExpiryFailed, InvalidDeadline, StoreConflict, StoreError, StoreUnavailable
from orders.store.outcomes import PaymentVerdict, State
from tests.contrib.django.conftest import Project, claim_and_expire
from tests.contrib.django.shop.models import Booking, Item, Order, Product


class Undone(Exception):
    pass


def give_back(using: str, order_ids: Sequence[Any]) -> None:
    items = Item.objects.using(using).filter(order_id__in=order_ids)
    for item in items.select_related("product").order_by("product_id"):
        Product.objects.using(using).filter(pk=item.product.pk).update(stock=F("stock") + item.units)


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


# Hooks


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


# Kinds of models, and connections


def test_a_model_with_a_number_for_its_state_and_names_of_its_own(project: Project) -> None:
    lapsed: list[Any] = []
    project.hooks.on_expire(lambda using, order_ids: lapsed.extend(order_ids))
    state = Booking.State
    expiry = project.expiry(
        MODEL="shop.Booking",
        STATUS_FIELD="state",
        DEADLINE_FIELD="hold_until",
        PENDING=state.OPEN,
        PAID=state.SETTLED,
        EXPIRED=state.LAPSED,
    )
    moment = timezone.now() - timedelta(seconds=1)
    bookings = [Booking.objects.using(project.alias).create(hold_until=moment) for _ in range(2)]
    assert expiry.pay(bookings[0].pk).verdict is PaymentVerdict.ACCEPTED
    expiry.enqueue(bookings[1].pk, expires_at=moment)
    assert claim_and_expire(expiry) == {"expired": 1}
    assert [booking.state for booking in Booking.objects.using(project.alias).order_by("pk")] == [5, 9]
    assert lapsed == [bookings[1].pk]


@pytest.mark.parametrize("fraction", [0, 1, 500_000, 999_999])
def test_a_deadline_is_what_django_stored(project: Project, fraction: int) -> None:
    # SQLite compares text, and Django writes no fraction that is zero.
    expiry = project.expiry()
    moment = (timezone.now() + timedelta(hours=1)).replace(microsecond=fraction)
    order = Order.objects.using(project.alias).create(expires_at=moment)
    row = expiry.store.row(str(order.pk))
    assert row is not None
    assert row.deadline == moment
    later = moment + timedelta(hours=1)
    assert expiry.extend(order.pk, expires_at=later)
    order.refresh_from_db()
    assert order.expires_at == later
    found = Order.objects.using(project.alias).filter(expires_at=later, status="pending")
    assert found.get() == order  # byte for byte as Django would have written it
    assert [each.deadline for each in expiry.store.pending(overdue=None, after=None, limit=9)] == [later]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("was_idle", [True, False])
def test_a_connection_that_the_server_closed_is_replaced(
    project: Project, database_url: str, was_idle: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a worker whose connection has died
    expiry = project.expiry()
    order = project.place(expiry)
    claim = expiry.schedule.claim(10)
    expiry.store.row(str(order.pk))
    plain = sa.make_url(database_url).render_as_string(hide_password=False)
    with psycopg.connect(plain, autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
    # when an order is to be expired
    if was_idle:
        monkeypatch.setattr("orders.contrib.django.bridge.IDLE", -1.0)
    else:  # nobody looks whether a connection lives that has just been used
        with pytest.raises(StoreUnavailable):
            expiry.expire([str(order.pk)], claim.lease)
        project.redis.zadd("orders", {str(order.pk): 1.0})
        claim = expiry.schedule.claim(10)
    # then it is, by another connection
    assert expiry.expire([str(order.pk)], claim.lease) == {"expired": 1}


def test_django_counts_and_logs_our_statements(project: Project) -> None:
    expiry = project.expiry()
    order = project.place(expiry, due=60)
    expiry.store.check()
    connection = connections[project.alias]
    connection.force_debug_cursor = True
    connection.queries_log.clear()
    try:
        expiry.check(order.pk)
    finally:
        connection.force_debug_cursor = False
    [query] = connection.queries
    assert "SELECT" in query["sql"]
    assert "shop_order" in query["sql"]
