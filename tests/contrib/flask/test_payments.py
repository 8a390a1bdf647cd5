"""Payments, new deadlines, holds and cancellations in the transaction of db.session."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from orders.store.outcomes import PaymentVerdict, State
from tests.contrib.flask.conftest import FlaskShop, MakeShop


def test_a_payment_holds_once_the_session_is_committed(shop: FlaskShop) -> None:
    order_id = shop.place()
    with shop.app.app_context():
        assert shop.expiry.pay(order_id, reference="ch_1").verdict is PaymentVerdict.ACCEPTED
        shop.db.session.commit()
    assert shop.status(order_id) == "paid"
    assert shop.scheduled() == set()


def test_a_payment_that_is_rolled_back_has_not_been(shop: FlaskShop) -> None:
    order_id = shop.place()
    with shop.app.app_context():
        assert shop.expiry.pay(order_id, reference="ch_1").is_accepted
        shop.db.session.rollback()
    assert shop.status(order_id) == "pending"
    assert shop.scheduled() == {str(order_id)}
    with shop.app.app_context():
        assert shop.expiry.pay(order_id, reference="ch_1").verdict is PaymentVerdict.ACCEPTED
        shop.db.session.commit()
    assert shop.status(order_id) == "paid"


def test_a_payment_of_a_request_that_ends_without_a_commit_has_not_been(shop: FlaskShop) -> None:
    order_id = shop.place()
    with shop.app.app_context():
        assert shop.expiry.pay(order_id).is_accepted
    assert shop.status(order_id) == "pending"
    assert shop.scheduled() == {str(order_id)}


def test_the_session_sees_what_the_payment_has_changed(shop: FlaskShop) -> None:
    order_id = shop.place()
    with shop.app.app_context():
        order = shop.db.session.get_one(shop.order, order_id)
        assert order.status == "pending"
        shop.expiry.pay(order_id)
        assert order.status == "paid"


def test_a_payment_in_a_transaction_of_its_own_needs_no_commit(make_shop: MakeShop, flask_url: str) -> None:
    shop = make_shop(database_url=flask_url)
    order_id = shop.place()
    with shop.app.app_context():
        assert shop.expiry.current().pay(order_id).is_accepted
    assert shop.status(order_id) == "paid"


def test_more_time_holds_once_the_session_is_committed(shop: FlaskShop) -> None:
    order_id = shop.place(due=1)
    later = datetime.now(UTC) + timedelta(hours=1)
    with shop.app.app_context():
        assert shop.expiry.extend(order_id, expires_at=later)
        assert float(shop.redis.zscore(shop.key, str(order_id)) or 0) < later.timestamp() - 60
        shop.db.session.commit()
        assert float(shop.redis.zscore(shop.key, str(order_id)) or 0) == round(later.timestamp(), 6)


def test_orders_in_another_database_than_the_default(make_shop: MakeShop, flask_url: str) -> None:
    shop = make_shop(database_url=flask_url, bind_key="sales")
    paid, rolled_back = shop.place(), shop.place()
    with shop.app.app_context():
        order = shop.db.session.get_one(shop.order, paid)
        assert shop.expiry.pay(paid).is_accepted
        assert order.status == "paid"
        shop.db.session.commit()
        assert shop.expiry.pay(rolled_back).is_accepted
        shop.db.session.rollback()
    assert (shop.status(paid), shop.status(rolled_back)) == ("paid", "pending")
    assert shop.scheduled() == {str(rolled_back)}


def test_a_look_at_an_overdue_order_expires_it_and_the_session_sees_that(shop: FlaskShop) -> None:
    order_id = shop.place(due=-1)
    with shop.app.app_context():
        order = shop.db.session.get_one(shop.order, order_id)
        assert order.status == "pending"
        assert shop.expiry.check(order_id) is State.EXPIRED
        assert order.status == "expired"


def test_a_hold_is_seen_at_once_and_holds_once_the_session_is_committed(shop: FlaskShop) -> None:
    order_id = shop.place(due=1)
    with shop.app.app_context():
        order = shop.db.session.get_one(shop.order, order_id)
        before, score = order.expires_at, shop.redis.zscore(shop.key, str(order_id))
        assert shop.expiry.hold(order_id, 900) is True
        assert order.expires_at > before + timedelta(seconds=800)
        assert shop.redis.zscore(shop.key, str(order_id)) == score
        shop.db.session.rollback()
        assert (order.expires_at, shop.redis.zscore(shop.key, str(order_id))) == (before, score)
        assert shop.expiry.hold(order_id, timedelta(minutes=15)) is True
        shop.db.session.commit()
        assert float(shop.redis.zscore(shop.key, str(order_id)) or 0) > float(score or 0) + 800


def test_a_cancellation_is_seen_at_once_and_holds_once_the_session_is_committed(shop: FlaskShop) -> None:
    told: list[tuple[str, bool]] = []

    @shop.expiry.on_expire
    def release(session: Session, order_ids: Sequence[int], *, reason: str) -> None:
        told.append((reason, shop.db.session() is session))
        shop.db.session.get_one(shop.product, "vase").stock += len(order_ids)

    order_id = shop.place()
    with shop.app.app_context():
        order = shop.db.session.get_one(shop.order, order_id)
        assert shop.expiry.cancel(order_id) is True
        assert order.status == "cancelled"
        shop.db.session.rollback()
        assert (order.status, shop.stock(), shop.scheduled()) == ("pending", 9, {str(order_id)})
        assert shop.expiry.cancel(order_id, reason="by the customer") is True
        assert shop.expiry.cancel(order_id) is False
        shop.db.session.commit()
    assert (shop.status(order_id), shop.stock(), shop.scheduled()) == ("cancelled", 10, set())
    assert told == [("cancelled", True), ("by the customer", True)]
    with shop.app.app_context():
        assert shop.expiry.hold(order_id, 900) is False
        assert shop.expiry.current().explain(order_id).events[-1].data == {"reason": "by the customer"}


def test_a_pause_does_not_wait_for_the_session(shop: FlaskShop) -> None:
    order_id = shop.place()
    with shop.app.app_context():
        begun = shop.expiry.pause(60, reason="the gateway is down", by="anna")
        shop.db.session.rollback()
        assert shop.expiry.paused() == begun
        assert shop.expiry.resume(extend=True) == begun
        assert shop.expiry.paused() is None
    assert shop.status(order_id) == "pending"
