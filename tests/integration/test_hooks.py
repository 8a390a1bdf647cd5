"""What hooks do commits with the change of state or not at all, on real databases."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from orders.errors import ExpiryFailed, StoreConflict
from orders.ids import OrderId
from orders.store import orders_table as table
from orders.store.outcomes import State
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

RELEASE = sa.text("UPDATE stock SET units = units + 1 WHERE product = :product")


def stock(shop: Shop, *products: str) -> None:
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE stock (product VARCHAR(20) PRIMARY KEY, units INT NOT NULL)")
        for product in products:
            connection.execute(sa.text("INSERT INTO stock VALUES (:product, 0)"), {"product": product})


def units(shop: Shop, product: str) -> int:
    with shop.engine.begin() as connection:
        select = sa.text("SELECT units FROM stock WHERE product = :product")
        return int(connection.scalar(select, {"product": product}) or 0)


def giving_back(shop: Shop) -> Callable[[Any, Sequence[Any]], None]:
    def give_back(given: Any, order_ids: Sequence[Any]) -> None:
        for _ in order_ids:
            shop.adapter.sql(given, RELEASE, product="tea")

    return give_back


# on_expire


def test_stock_returns_with_the_expiry(shop: Shop) -> None:
    shop.create()
    stock(shop, "tea")
    shop.hooks.on_expire(giving_back(shop))
    shop.place("a", "b", "c")
    shop.place("paid", status="paid")
    assert shop.claim_and_expire() == {"expired": 3, "closed": 1}
    assert units(shop, "tea") == 3
    assert shop.kinds("a") == ["expired"]


@pytest.mark.parametrize(("id_type", "order_id"), [("text", "42"), ("integer", 42), ("uuid", UUID(int=42))])
def test_a_hook_is_given_ids_as_the_column_holds_them(shop: Shop, id_type: Any, order_id: OrderId) -> None:
    shop.create(id_type)
    given: list[object] = []
    shop.hooks.on_expire(lambda session, order_ids: given.extend(order_ids))
    with shop.engine.begin() as connection:
        orders = table.default(shop.settings, id_type, shop.engine.dialect.name)
        connection.execute(sa.insert(orders).values(id=order_id, status="pending", expires_at=datetime(2020, 1, 1)))  # noqa: DTZ001
    shop.expiry.enqueue(order_id, timeout=0)
    assert shop.claim_and_expire() == {"expired": 1}
    assert given == [shop.stored(order_id)]


def test_hooks_are_called_in_their_order_and_once_each(shop: Shop) -> None:
    shop.create()
    called: list[str] = []

    def first(session: Session, order_ids: Sequence[Any]) -> None:
        called.append("first")

    shop.hooks.on_expire(first)
    shop.hooks.on_expire(lambda *_: called.append("second"))
    shop.hooks.on_expire(first)  # its module was imported under another name
    shop.place("42")
    shop.claim_and_expire()
    assert called == ["first", "second"]


def test_a_hook_that_raises_undoes_the_expiry_and_harms_no_other_order(shop: Shop) -> None:
    shop.create()
    stock(shop, "tea")

    def release(session: Session, order_ids: Sequence[Any]) -> None:
        giving_back(shop)(session, order_ids)
        if "poison" in order_ids:
            raise ValueError("no such product")

    shop.hooks.on_expire(release)
    shop.place("a", "poison", "b")
    with pytest.raises(ExpiryFailed, match="poison: ValueError: no such product"):
        shop.claim_and_expire()
    assert [shop.status(order) for order in ("a", "poison", "b")] == ["expired", "pending", "expired"]
    assert units(shop, "tea") == 2
    assert [shop.kinds(order) for order in ("a", "poison", "b")] == [["expired"], [], ["expired"]]


@pytest.mark.sqlalchemy_only
def test_a_hook_cannot_commit_for_itself(shop: Shop) -> None:
    shop.create()
    stock(shop, "tea")

    def release(session: Session, order_ids: Sequence[Any]) -> None:
        giving_back(shop)(session, order_ids)
        session.commit()
        raise ValueError("after the commit")

    shop.hooks.on_expire(release)
    shop.place("42")
    with pytest.raises(ExpiryFailed, match="after the commit"):
        shop.claim_and_expire()
    assert (shop.status("42"), units(shop, "tea")) == ("pending", 0)


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("events", [True, False])
@pytest.mark.parametrize("writes", [False, True], ids=["at once", "after it wrote"])
def test_a_hook_that_rolls_back_undoes_the_expiry(shop: Shop, writes: bool, events: bool) -> None:
    shop.create(events=events)
    stock(shop, "tea")

    def release(session: Session, order_ids: Sequence[Any]) -> None:
        if writes:
            giving_back(shop)(session, order_ids)
        session.rollback()

    shop.hooks.on_expire(release)
    shop.place("42")
    with pytest.raises(ExpiryFailed):
        shop.claim_and_expire()
    assert (shop.status("42"), shop.kinds("42"), units(shop, "tea")) == ("pending", [], 0)


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("events", [True, False])
def test_a_hook_that_hides_an_error_of_postgresql_undoes_the_expiry(shop: Shop, events: bool) -> None:
    # given a hook that catches an error: PostgreSQL then answers COMMIT with a rollback, and no error
    shop.create(events=events)

    def release(session: Session, order_ids: Sequence[Any]) -> None:
        with suppress(sa.exc.ProgrammingError):
            session.execute(sa.text("UPDATE no_such_table SET units = 1"))

    shop.hooks.on_expire(release)
    shop.place("42")
    with pytest.raises(ExpiryFailed):
        shop.claim_and_expire()
    assert (shop.status("42"), shop.kinds("42"), shop.schedule.stats()["scheduled"]) == ("pending", [], 1)


@pytest.mark.sqlalchemy_only
def test_what_a_hook_leaves_in_its_session_is_written(shop: Shop) -> None:
    shop.create()
    stock(shop)
    table = sa.Table("stock", sa.MetaData(), autoload_with=shop.engine)
    registry = sa.orm.registry()
    Stock = type("Stock", (), {})  # noqa: N806 - a class
    registry.map_imperatively(Stock, table)

    def add(session: Session, order_ids: Sequence[Any]) -> None:
        row = Stock()
        row.product, row.units = "tea", 7
        session.add(row)

    shop.hooks.on_expire(add)
    shop.place("42")
    assert shop.claim_and_expire() == {"expired": 1}
    assert units(shop, "tea") == 7


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_deadlock_is_tried_again_and_stock_returns_once(shop: Shop) -> None:
    # given a hook that takes coffee, then tea, while the shop holds tea and waits for coffee
    shop.create()
    stock(shop, "tea", "coffee")
    has_coffee, has_tea = threading.Event(), threading.Event()
    tries: list[int] = []

    def release(session: Session, order_ids: Sequence[Any]) -> None:
        tries.append(1)
        shop.adapter.sql(session, RELEASE, product="coffee")
        has_coffee.set()
        assert has_tea.wait(10)
        shop.adapter.sql(session, RELEASE, product="tea")

    def sell() -> None:
        with shop.engine.begin() as connection:
            # whom the database picks depends on who has written more
            connection.exec_driver_sql("CREATE TEMPORARY TABLE much (n INT)")
            connection.execute(sa.text("INSERT INTO much VALUES (:n)"), [{"n": n} for n in range(500)])
            if shop.engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL deadlock_timeout = '30s'")  # and who looks first
            connection.execute(RELEASE, {"product": "tea"})
            has_tea.set()
            assert has_coffee.wait(10)
            connection.execute(RELEASE, {"product": "coffee"})

    shop.hooks.on_expire(release)
    shop.place("42")
    other = threading.Thread(target=sell)
    other.start()
    # when the order is expired
    report = shop.claim_and_expire()
    other.join(10)
    # then the database chose the hook, and it was run again
    assert report == {"expired": 1}
    assert len(tries) == 2
    assert (units(shop, "coffee"), units(shop, "tea")) == (2, 2)
    assert shop.kinds("42") == ["expired"]


def test_a_conflict_that_does_not_end_counts_no_attempt(shop: Shop) -> None:
    shop.create()

    def conflict(session: Session, order_ids: Sequence[Any]) -> None:
        raise StoreConflict("deadlock")

    shop.hooks.on_expire(conflict)
    shop.place("42")
    with pytest.raises(StoreConflict):
        shop.claim_and_expire()
    assert shop.status("42") == "pending"
    assert shop.redis.hlen("{orders}:attempts") == 0
    assert len(shop.slept) == 2


# check


def test_check_expires_an_overdue_order_with_its_hooks(shop: Shop) -> None:
    shop.create()
    stock(shop, "tea")
    shop.hooks.on_expire(giving_back(shop))
    shop.place("42", "43")
    assert shop.expiry.check("42") is State.EXPIRED
    assert (shop.status("42"), shop.score("42"), units(shop, "tea")) == ("expired", None, 1)
    assert shop.expiry.check("42") is State.EXPIRED
    assert units(shop, "tea") == 1
    assert shop.status("43") == "pending"


@pytest.mark.parametrize(
    ("status", "due", "state"),
    [
        ("pending", 60, State.PENDING),
        ("paid", -60, State.PAID),
        ("expired", -60, State.EXPIRED),
        ("cancelled", -60, State.CLOSED),
    ],
)
def test_check_leaves_the_others_alone(shop: Shop, status: str, due: float, state: State) -> None:
    shop.create()
    shop.place("42", status=status, due=due)
    assert shop.expiry.check("42") is state
    assert shop.status("42") == status
    assert shop.expiry.check("43") is State.MISSING


def test_a_hook_that_raises_in_a_check_changes_nothing(shop: Shop) -> None:
    shop.create()

    def fail(session: Session, order_ids: Sequence[Any]) -> None:
        raise ValueError("no such product")

    shop.hooks.on_expire(fail)
    shop.place("42")
    with pytest.raises(ValueError, match="no such product"):
        shop.expiry.check("42")
    assert shop.status("42") == "pending"
    assert shop.score("42") is not None
