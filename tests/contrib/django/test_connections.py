"""The connections that a worker uses: how many it opens, although Celery closes them, and what becomes of dead ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created

from orders.contrib.django import bridge
from orders.errors import StoreUnavailable
from orders.hooks import Answer
from tests.contrib.django.conftest import Project, claim_and_expire
from tests.contrib.django.shop.models import Item, Product

IN_ALL = pytest.mark.parametrize("database_url", ["sqlite", "postgresql", "mariadb"], indirect=True)


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """The aliases of the databases that a connection was opened to, one after another."""
    aliases: list[str] = []

    def note(connection: BaseDatabaseWrapper, **_: object) -> None:
        aliases.append(connection.alias)

    connection_created.connect(note)
    yield aliases
    connection_created.disconnect(note)


def in_a_task(call: Callable[[], object]) -> None:
    """Call something in a thread, as Celery does."""
    errors: list[BaseException] = []

    def task() -> None:
        try:
            call()
        except BaseException as error:  # noqa: BLE001 - raised in the test
            errors.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=task)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


@IN_ALL
def test_the_threads_of_a_worker_share_connections_that_stay_open(project: Project, opened: list[str]) -> None:
    # given a shop whose hook uses the ORM
    expiry = project.expiry()

    @project.hooks.on_expire
    def give_back(using: str, order_ids: Sequence[UUID]) -> None:
        for item in Item.objects.using(using).filter(order_id__in=order_ids):
            Product.objects.using(using).filter(pk=item.product.pk).update(stock=item.product.stock + item.units)

    # when tasks in threads of their own expire orders
    for _ in range(5):
        project.place(expiry)
        in_a_task(lambda: claim_and_expire(expiry))
    # then all that they did went over one connection
    assert project.stock() == 5
    assert opened.count(project.alias) == 1
    # and it closes with the store
    expiry.close()
    project.place(expiry)
    in_a_task(lambda: claim_and_expire(expiry))
    assert opened.count(project.alias) == 1 + 2  # of the thread that placed it, too
    expiry.close()


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_kept_connection_that_has_died_is_replaced(
    project: Project, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bridge, "IDLE", 0.0)
    expiry = project.expiry()
    for _ in range(2):
        order = project.place(expiry)
        in_a_task(lambda: claim_and_expire(expiry))
        assert project.status(order) == "expired"
        with connections[project.alias].cursor() as cursor:
            cursor.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            assert cursor.fetchone() == (1,)
    assert opened.count(project.alias) == 2
    expiry.close()


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
    expiry.ownership.check_once()  # as in a worker that has made an attempt
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


@IN_ALL
@pytest.mark.parametrize("is_operator", [False, True], ids=["application", "operator"])
def test_a_guards_thread_leaves_no_connection_open(project: Project, *, is_operator: bool) -> None:
    # given a guard that looks something up, in a thread of its own
    expiry, used = project.expiry(), list[BaseDatabaseWrapper]()

    @project.hooks.guard
    def guard(order_id: str) -> Answer:
        Product.objects.using(project.alias).count()
        used.append(connections[project.alias])
        return Answer.UNPAID

    order = project.place(expiry)
    # when an application or an operator checks an overdue order
    (expiry.at_once if is_operator else expiry).check(order.pk)
    # then that thread's connection is closed
    assert project.status(order) == "expired"
    assert [connection.connection for connection in used] == [None]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_whose_connection_is_lent(project: Project) -> None:
    alias, own = project.alias, connections[project.alias]

    def lent() -> BaseDatabaseWrapper:
        with bridge.lent(alias):
            connection: BaseDatabaseWrapper = connections[alias]
            connection.ensure_connection()
            return connection

    own.close()
    # outside of a task it is the thread's own: a web server closes that when the request ends
    assert lent() is own
    own.close()
    with bridge.keeping():
        # two at a time are two
        with bridge.lent(alias):
            first = connections[alias]
            first.ensure_connection()
            assert lent() is first  # of one thread, within
            seen: list[BaseDatabaseWrapper] = []

            def beside() -> None:
                with bridge.keeping():
                    seen.append(lent())

            in_a_task(beside)
        assert first is not own
        assert seen[0] not in {first, own}
        # one that the thread has open goes on to be used: its transaction may be open too
        own.ensure_connection()
        assert lent() is own
        own.close()
        # and a driver that has a pool keeps its connections by itself
        own.settings_dict["OPTIONS"] = {"pool": True}
        with bridge.lent(alias):
            assert connections[alias] is own
        own.settings_dict["OPTIONS"] = {}
    bridge.close(alias)


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
