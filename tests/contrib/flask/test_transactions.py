"""When the schedule is told: after the commit of db.session, never at a rollback, at once if nothing was written."""

from __future__ import annotations

import logging
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from flask import Flask

from orders.contrib.flask import Orders
from orders.embedded import EmbeddedRedis, free_port
from orders.errors import ScheduleUnavailable
from tests.contrib.flask.conftest import FlaskShop, MakeShop


def new_order(shop: FlaskShop) -> int:
    """Write an order in the session's transaction, and schedule it."""
    deadline = datetime.now(UTC) + timedelta(seconds=60)
    order = shop.order(status="pending", expires_at=deadline, sku="vase")
    shop.db.session.add(order)
    shop.db.session.flush()
    assert shop.expiry.enqueue(order.id, expires_at=deadline) == deadline
    order_id: int = order.id
    return order_id


def test_an_order_is_scheduled_when_it_is_committed(shop: FlaskShop) -> None:
    with shop.app.app_context():
        order_id = new_order(shop)
        assert shop.scheduled() == set()
        shop.db.session.commit()
        assert shop.scheduled() == {str(order_id)}


def test_an_order_is_not_scheduled_when_it_is_rolled_back(shop: FlaskShop) -> None:
    with shop.app.app_context():
        new_order(shop)
        shop.db.session.rollback()
        shop.db.session.commit()
        assert shop.scheduled() == set()
        # and the session goes on to serve
        order_id = new_order(shop)
        shop.db.session.commit()
        assert shop.scheduled() == {str(order_id)}


def test_an_order_of_a_request_that_ends_without_a_commit_is_not_scheduled(shop: FlaskShop) -> None:
    with shop.app.app_context():
        new_order(shop)
    assert shop.scheduled() == set()


def test_an_order_of_a_request_that_fails_is_not_scheduled(shop: FlaskShop) -> None:
    @shop.app.post("/orders")
    def place() -> str:
        new_order(shop)
        raise RuntimeError("the template is broken")

    assert shop.app.test_client().post("/orders").status_code == 500
    assert shop.scheduled() == set()


def test_an_order_in_a_savepoint_waits_for_the_whole(shop: FlaskShop) -> None:
    with shop.app.app_context():
        with shop.db.session.begin_nested():
            order_id = new_order(shop)
        assert shop.scheduled() == set()
        shop.db.session.commit()
        assert shop.scheduled() == {str(order_id)}


def test_an_order_in_a_savepoint_that_is_rolled_back_is_not_scheduled(shop: FlaskShop) -> None:
    with shop.app.app_context():
        shop.db.session.get_one(shop.product, "vase").stock -= 1
        savepoint = shop.db.session.begin_nested()
        new_order(shop)
        savepoint.rollback()
        shop.db.session.commit()
        assert shop.scheduled() == set()


def test_without_a_transaction_it_is_at_once(shop: FlaskShop) -> None:
    with shop.app.app_context():
        shop.expiry.enqueue(42, timeout=60)
        assert shop.scheduled() == {"42"}


def test_after_the_commit_it_is_at_once_although_looking_at_the_order_began_a_transaction(shop: FlaskShop) -> None:
    with shop.app.app_context():
        order = shop.order(status="pending", expires_at=datetime.now(UTC) + timedelta(seconds=60), sku="vase")
        shop.db.session.add(order)
        shop.db.session.commit()
        if shop.db.engine.dialect.name == "postgresql":
            shop.db.session.execute(sa.text("SET LOCAL shop.tenant = '7'"))
        shop.expiry.enqueue(order.id, expires_at=datetime.now(UTC) + timedelta(seconds=60))
        assert shop.db.session().in_transaction()
        assert shop.scheduled() == {str(order.id)}


@pytest.mark.parametrize("how", ["core", "text", "connection"])
def test_what_is_written_without_models_is_waited_for(shop: FlaskShop, how: str) -> None:
    table = shop.product.__table__
    with shop.app.app_context():
        if how == "core":
            shop.db.session.execute(sa.update(table).values(stock=3))
        elif how == "text":
            shop.db.session.execute(sa.text("UPDATE product SET stock = 3"))
        else:
            shop.db.session.connection().execute(sa.update(table).values(stock=3))
        shop.expiry.enqueue(42, timeout=60)
        assert shop.scheduled() == set()
        shop.db.session.commit()
        assert shop.scheduled() == {"42"}


def test_removing_waits_for_the_commit_too(shop: FlaskShop) -> None:
    first, second = shop.place(), shop.place()
    with shop.app.app_context():
        shop.db.session.get_one(shop.order, first).status = "cancelled"
        shop.expiry.remove(first)
        assert shop.scheduled() == {str(first), str(second)}
        shop.db.session.rollback()
        assert shop.scheduled() == {str(first), str(second)}
        shop.db.session.get_one(shop.order, second).status = "cancelled"
        shop.expiry.remove(second)
        shop.db.session.commit()
        assert shop.scheduled() == {str(first)}


def test_requests_do_not_wait_for_each_other(shop: FlaskShop) -> None:
    # given a request that has written an order, and not committed
    written, go_on = threading.Event(), threading.Event()

    def request() -> None:
        with shop.app.app_context():
            shop.db.session.connection()
            shop.expiry.enqueue("first", timeout=60)
            written.set()
            assert go_on.wait(10)
            shop.db.session.rollback()

    thread = threading.Thread(target=request)
    thread.start()
    assert written.wait(10)
    # when another commits
    second = shop.place()
    go_on.set()
    thread.join()
    # then each had what it asked for
    assert shop.scheduled() == {"first", str(second)}


def test_an_order_on_another_database_waits_for_that_one(make_shop: MakeShop, flask_url: str) -> None:
    shop = make_shop(database_url=flask_url, bind_key="sales")
    order_id = shop.place()
    assert shop.scheduled() == {str(order_id)}
    with shop.app.app_context():
        new_order(shop)
        shop.db.session.rollback()
    assert shop.scheduled() == {str(order_id)}


def test_a_redis_outage_fails_no_checkout_and_reconcile_makes_up_for_it(
    make_shop: MakeShop, flask_url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedRedis(tmp_path / "redis", port=free_port()) as own:
        shop = make_shop(database_url=flask_url, ORDERS_REDIS_URL=own.url)

        @shop.app.post("/orders")
        def place() -> str:
            return str(shop.place(due=-60))

        # given a Redis that is down
        own.stop()
        # when an order is placed
        with caplog.at_level(logging.WARNING):
            response = shop.app.test_client().post("/orders")
        # then the customer has it, and the log and the counter tell
        assert response.status_code == 200
        order_id = int(response.text)
        assert shop.status(order_id) == "pending"
        assert f"order {order_id} could not be scheduled; reconcile picks it up" in caplog.text
        assert shop.current.outages.count == 1
        # and when Redis is back, reconcile finds it
        own.start()
        assert shop.current.reconcile().added == 1
        assert shop.expire() == {"expired": 1}
        assert shop.status(order_id) == "expired"


def test_a_redis_outage_after_the_commit_fails_no_checkout(
    make_shop: MakeShop, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with EmbeddedRedis(tmp_path / "redis") as own:
        shop = make_shop(ORDERS_REDIS_URL=own.url)
        order_id = shop.place(enqueue=False)
        own.stop()
        with shop.app.app_context(), caplog.at_level(logging.WARNING):
            deadline = shop.expiry.enqueue(order_id, timeout=60)
            shop.expiry.remove(order_id)
        assert deadline > datetime.now(UTC)
        assert f"order {order_id} could not be scheduled; reconcile picks it up" in caplog.text
        assert shop.current.outages.count == 2


def test_without_flask_sqlalchemy_a_redis_outage_is_raised(tmp_path: Path) -> None:
    app = Flask("shop")
    app.config["ORDERS_REDIS_URL"] = f"redis://127.0.0.1:{free_port()}/0"
    expiry = Orders(app)
    with app.app_context(), pytest.raises(ScheduleUnavailable):
        expiry.enqueue("42")


def test_an_order_gets_its_reminder(make_shop: MakeShop, flask_url: str) -> None:
    shop = make_shop(database_url=flask_url, ORDERS_REMIND=[timedelta(minutes=1)])
    order_id = shop.place(due=59, enqueue=False)
    shop.current.schedule.enqueue([(str(order_id), 0.0)])  # its time has come
    assert shop.expire() == {"reminded": 1}
    [event] = shop.current.explain(order_id).events
    assert (event.kind, event.data["before"]) == ("reminder", 60)
    shop.current.schedule.enqueue([(str(order_id), 0.0)])
    assert shop.expire() == {"not_due": 1}


def test_many_orders_wait_for_the_commit(shop: FlaskShop) -> None:
    with shop.app.app_context():
        shop.db.session.get_one(shop.product, "vase").stock = 0
        assert shop.expiry.enqueue_many([("1", None), ("2", None)]) == 2
        assert shop.scheduled() == set()
        shop.db.session.commit()
        assert shop.scheduled() == {"1", "2"}
