"""The shop's hooks: each extension object has its own, and calls them in the context of the app that they serve."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from flask import current_app, g, has_app_context
from sqlalchemy.orm import Session

from orders import process
from orders.contrib.flask import Orders
from orders.errors import ConfigError, DeliveryFailed, ExpiryFailed
from orders.events import Event
from orders.hook_checks import ARGUMENTS
from orders.hooks import Answer
from orders.store.outcomes import State
from tests.contrib.flask.conftest import FlaskShop, MakeShop


def give_back(shop: FlaskShop) -> None:
    """Have the shop's stock come back, by its models."""

    @shop.expiry.on_expire
    def release(session: Session, order_ids: Sequence[int]) -> None:
        for order_id in order_ids:
            order = session.get_one(shop.order, order_id)
            session.get_one(shop.product, order.sku).stock += 1


def test_a_hook_gives_stock_back_with_models(shop: FlaskShop) -> None:
    give_back(shop)
    order_id = shop.place(due=-1)
    assert shop.stock() == 9
    assert shop.expire() == {"expired": 1}
    assert (shop.status(order_id), shop.stock()) == ("expired", 10)


def test_hooks_get_uuids_whatever_the_database_has_for_them(make_shop: MakeShop, flask_url: str) -> None:
    # given a hook that finds orders by their ids, and one that is asked about a single one
    shop = make_shop(database_url=flask_url, new_id=uuid4)
    give_back(shop)
    asked: list[object] = []

    @shop.expiry.on_late_payment
    def never(session: Session, order_id: UUID) -> bool:
        asked.append(order_id)
        return False

    # when an order expires, and is paid then
    order_id = shop.place(due=-1)
    assert shop.expire() == {"expired": 1}
    assert shop.current.pay(order_id).verdict == "too_late"
    # then both have been given ids as the model has them
    assert (shop.stock(), asked) == (10, [order_id])


def test_a_hook_runs_in_a_context_of_its_app_whatever_the_thread(shop: FlaskShop) -> None:
    seen: list[Any] = []

    @shop.expiry.on_expire
    def expired(session: Session, order_ids: Sequence[int]) -> None:
        seen.append(current_app.name)

    @shop.expiry.guard
    def ask(order_id: str) -> Answer:
        seen.append((current_app.name, threading.current_thread() is threading.main_thread()))
        return Answer.UNPAID

    @shop.expiry.on_event
    def tell(event: Event) -> None:
        seen.append((current_app.name, event.kind))

    shop.place(due=-1)
    assert not has_app_context()
    assert shop.expire() == {"expired": 1}
    shop.current.deliver()
    assert seen == [(shop.app.name, False), shop.app.name, (shop.app.name, "expired")]


def test_db_session_is_the_transaction_in_a_hook(shop: FlaskShop) -> None:
    @shop.expiry.on_expire
    def release(session: Session, order_ids: Sequence[int]) -> None:
        assert shop.db.session() is session
        for order_id in order_ids:
            sku = shop.db.session.get_one(shop.order, order_id).sku
            shop.db.session.get_one(shop.product, sku).stock += 1

    @shop.expiry.on_expire
    def fail_sometimes(session: Session, order_ids: Sequence[int]) -> None:
        if failing:
            raise RuntimeError("not now")

    shop.place(due=-1)
    failing = True
    with pytest.raises(ExpiryFailed, match="not now"):
        shop.expire()
    assert shop.stock() == 9  # undone, although db.session wrote it
    failing = False
    assert shop.expiry.current(shop.app).check(1) == "expired"
    assert shop.stock() == 10


def test_a_hook_in_a_request_keeps_the_session_of_the_request(shop: FlaskShop) -> None:
    give_back(shop)
    order_id = shop.place(due=-1)
    with shop.app.app_context():
        mine = shop.db.session()
        shop.expiry.check(order_id)
        assert shop.db.session() is mine
        assert shop.db.session.get_one(shop.product, "vase").stock == 10


def test_a_late_payment_revives_the_order_in_the_transaction_of_the_request(shop: FlaskShop) -> None:
    give_back(shop)

    @shop.expiry.on_late_payment
    def take_again(session: Session, order_id: int) -> bool:
        assert shop.db.session() is session
        assert g.customer == "ada"
        shop.db.session.get_one(shop.product, "vase").stock -= 1
        return True

    order_id = shop.place(due=-1)
    shop.expire()
    with shop.app.app_context():
        g.customer = "ada"
        payment = shop.expiry.pay(order_id, reference="ch_1")
        assert payment.was_revived
        shop.db.session.rollback()
    assert (shop.status(order_id), shop.stock()) == ("expired", 10)
    with shop.app.app_context():
        g.customer = "ada"
        assert shop.expiry.pay(order_id, reference="ch_1").was_revived
        shop.db.session.commit()
    assert (shop.status(order_id), shop.stock()) == ("paid", 9)


def test_a_hook_schedules_what_follows_when_the_worker_commits(shop: FlaskShop) -> None:
    @shop.expiry.on_expire
    def offer_again(session: Session, order_ids: Sequence[int]) -> None:
        shop.expiry.enqueue("reminder", timeout=60)
        assert "reminder" not in shop.scheduled()

    shop.place(due=-1)
    shop.expire()
    assert shop.scheduled() == {"reminder"}


def test_workers_of_mysql_have_an_engine_of_their_own(make_shop: MakeShop, mariadb_url: str) -> None:
    shop = make_shop(database_url=mariadb_url)
    seen: list[str] = []

    @shop.expiry.on_expire
    def release(session: Session, order_ids: Sequence[int]) -> None:
        seen.append(session.connection().get_isolation_level())
        shop.db.session.get_one(shop.product, "vase").stock += 1
        shop.expiry.enqueue("reminder", timeout=60)
        seen.extend(shop.scheduled() & {"reminder"})

    shop.place(due=-1)
    assert shop.expire() == {"expired": 1}
    assert seen == ["READ COMMITTED"]
    assert (shop.stock(), shop.scheduled()) == (10, {"reminder"})
    with shop.app.app_context():
        assert shop.db.session.connection().get_isolation_level() == "REPEATABLE READ"


def test_the_condition_is_the_models_and_runs_in_a_context(shop: FlaskShop) -> None:
    seen: list[str] = []

    @shop.expiry.condition
    def may_expire(table: sa.TableClause) -> sa.ColumnElement[bool]:
        seen.append(current_app.name)
        sold_out: sa.Select[Any] = sa.select(shop.product.sku).where(
            shop.product.sku == shop.order.sku, shop.product.stock == 0
        )
        holds: sa.ColumnElement[bool] = (table.c.sku == shop.order.sku) & ~sold_out.exists()
        return holds

    order_id = shop.place(due=-1)
    with shop.app.app_context():
        shop.db.session.get_one(shop.product, "vase").stock = 0
        shop.db.session.commit()
    assert shop.expire() == {"kept": 1}
    assert shop.current.check(order_id) is State.KEPT
    with shop.app.app_context():
        shop.db.session.get_one(shop.product, "vase").stock = 1
        shop.db.session.commit()
        assert shop.expiry.check(order_id) is State.EXPIRED
    assert set(seen) == {shop.app.name}


def test_the_deadline_rule_is_asked_in_a_context(shop: FlaskShop) -> None:
    @shop.expiry.deadline_rule
    def rule(order_id: str, context: Mapping[str, Any]) -> float:
        return float(current_app.config["MINUTES"]) * 60

    shop.app.config["MINUTES"] = 5
    with shop.app.app_context():
        first = shop.expiry.deadline("1")
    assert abs((shop.current.deadline("1") - first).total_seconds()) < 5


def test_apps_share_the_hooks_of_one_extension_and_not_those_of_another(make_shop: MakeShop) -> None:
    seen: list[tuple[str, str]] = []
    before = list(process._hooks.expire_hooks)
    expiry, other = Orders(), Orders()
    one = make_shop(expiry=expiry)

    @expiry.on_expire
    def mine(session: Session, order_ids: Sequence[int]) -> None:
        seen.append(("mine", current_app.name))

    @other.on_expire
    def theirs(session: Session, order_ids: Sequence[int]) -> None:
        seen.append(("theirs", current_app.name))

    two, three = make_shop(expiry=expiry), make_shop(expiry=other)
    for shop in (one, two, three):
        shop.place(due=-1)
        shop.expire()
    assert seen == [("mine", one.app.name), ("mine", two.app.name), ("theirs", three.app.name)]
    assert process._hooks.expire_hooks == before


def test_two_apps_do_not_mix(make_shop: MakeShop) -> None:
    # given two apps with the same extension, and other keys and databases
    expiry = Orders()
    one, two = make_shop(expiry=expiry), make_shop(expiry=expiry, ORDERS_TIMEOUT=60)
    give_back(one)
    # when an order of each falls due, and the first app's workers come
    first, second = one.place(due=-1), two.place(due=-1)
    assert one.expire() == {"expired": 1}
    # then the other's is left alone
    assert (one.status(first), two.status(second)) == ("expired", "pending")
    assert (one.scheduled(), two.scheduled()) == (set(), {str(second)})
    # and in a context within another's, it is the inner one
    with one.app.app_context(), two.app.app_context():
        assert expiry.current().settings.timeout == 60
        assert expiry.pay(second).is_accepted
        two.db.session.commit()
    assert two.status(second) == "paid"


async def never_awaited(*_: object) -> None: ...


@pytest.mark.parametrize("decorator", ARGUMENTS)
def test_the_extension_rejects_hooks_that_would_do_nothing(shop: FlaskShop, decorator: str) -> None:
    with pytest.raises(ConfigError, match=rf"@orders\.{decorator} was given .*never_awaited, an async function"):
        getattr(shop.expiry, decorator)(never_awaited)


def test_a_handler_that_returns_a_coroutine_has_failed_under_its_own_name(shop: FlaskShop) -> None:
    @shop.expiry.on_event
    def plain(event: Event) -> object:
        return never_awaited(event)

    shop.place(due=-1)
    assert shop.expire() == {"expired": 1}
    with pytest.raises(DeliveryFailed, match=r"the hook .*\.plain returned an object of type coroutine"):
        shop.current.deliver()
