"""The verdicts of a payment, in a transaction of its own and in the application's, on real databases."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from orders.database import create_engine
from orders.embedded import free_port
from orders.errors import InvalidOrderId, SchemaError, StoreConflict
from orders.expiry import OrderExpiry
from orders.schedule import Schedule
from orders.store import Payment, PaymentVerdict, State
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

ACCEPTED = PaymentVerdict.ACCEPTED
DUPLICATE = PaymentVerdict.DUPLICATE
TOO_LATE = PaymentVerdict.TOO_LATE


class Base(DeclarativeBase):
    pass


class Order(Base):
    """The shop's own model of the default table."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]


def test_a_pending_order_is_paid_and_leaves_the_schedule(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", ACCEPTED)
    assert shop.status("42") == "paid"
    assert shop.score("42") is None
    [event] = shop.events("42")
    assert (event.kind, event.order_id, event.data) == ("paid", "42", {"reference": "ch_1"})
    assert abs(event.at - datetime.now(UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize("id_type", ["integer", "uuid"])
def test_ids_of_every_type_are_paid(shop: Shop, id_type: Any) -> None:
    shop.create(id_type)
    order_id: Any = {"integer": 7, "uuid": "12345678-1234-5678-1234-567812345678"}[id_type]
    if id_type == "uuid":
        insert = sa.text("INSERT INTO orders VALUES (:id, 'pending', '2030-01-31 12:00:00')")
        written = order_id if shop.engine.dialect.name in {"postgresql", "mysql"} else order_id.replace("-", "")
        with shop.engine.begin() as connection:
            connection.execute(insert, {"id": written})
    else:
        shop.place(order_id)
    assert shop.expiry.pay(order_id).verdict is ACCEPTED
    assert shop.expiry.pay(order_id).verdict is DUPLICATE


def test_an_order_has_one_refund_key_however_its_id_is_written(shop: Shop) -> None:
    shop.create("integer")
    shop.place(42)
    shop.claim_and_expire()
    late = shop.expiry.pay(42, reference="ch_1")
    assert shop.expiry.pay("042", reference="ch_1") == late
    assert shop.kinds("042") == ["expired", "late_payment"]


def test_ids_that_a_collation_takes_for_one_another_are_two_orders(shop: Shop) -> None:
    shop.create()
    collations = {
        "postgresql": "",
        "sqlite": "",
        "mysql": "ALTER TABLE orders MODIFY id VARCHAR(9) COLLATE utf8mb4_bin",
    }
    if alter := collations[shop.engine.dialect.name]:
        with shop.engine.begin() as connection:
            connection.exec_driver_sql(alter)
    shop.place("a", "A")
    assert shop.expiry.pay("a", reference="ch_1").verdict is ACCEPTED
    assert shop.expiry.pay("A", reference="ch_2").verdict is ACCEPTED
    assert shop.expiry.pay("A", reference="ch_2") == Payment("A", DUPLICATE)
    assert [event.data["reference"] for event in shop.events("a")] == ["ch_1"]


def test_a_callback_may_come_twice(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    again = shop.expiry.pay("42", reference="ch_1")
    assert again == Payment("42", DUPLICATE)
    assert again.is_accepted
    assert shop.expiry.pay("42") == Payment("42", DUPLICATE)  # nothing tells that it is another
    assert shop.kinds("42") == ["paid"]


def test_a_customer_who_pays_twice_gets_the_second_payment_back(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    second = shop.expiry.pay("42", reference="ch_2")
    assert second.verdict is DUPLICATE
    assert second.refund_key
    assert not second.is_accepted
    assert shop.expiry.pay("42", reference="ch_2") == second
    assert shop.kinds("42") == ["paid", "late_payment"]
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)


def test_a_callback_after_the_guard_is_no_second_payment(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.store.settle_paid(["42"])
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)


def test_a_payment_for_an_expired_order_is_too_late_and_to_be_refunded_once(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.claim_and_expire()
    late = shop.expiry.pay("42", reference="ch_1")
    assert late.verdict is TOO_LATE
    assert len(late.refund_key or "") == 36
    assert shop.expiry.pay("42", reference="ch_1") == late
    assert shop.expiry.pay("42", reference="ch_2").refund_key not in {None, late.refund_key}
    assert shop.status("42") == "expired"
    assert shop.kinds("42") == ["expired", "late_payment", "late_payment"]
    assert shop.events("42")[1].data == {
        "verdict": "too_late",
        "refund_key": late.refund_key,
        "reference": "ch_1",
    }


def test_a_payment_for_a_cancelled_order_is_to_be_refunded(shop: Shop) -> None:
    shop.create()
    shop.place("42", status="cancelled")
    payment = shop.expiry.pay("42")
    assert payment.verdict is PaymentVerdict.CLOSED
    assert payment.refund_key
    assert shop.status("42") == "cancelled"
    assert shop.score("42") is None


def test_an_order_that_was_paid_and_has_moved_on_is_no_refund(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43")
    shop.expiry.pay("42", reference="ch_1")
    shop.store.settle_paid(["43"])  # the guard found it
    for order_id in ("42", "43"):
        shop.change(order_id, status="shipped")
        again = shop.expiry.pay(order_id, reference="ch_1")
        assert again == Payment(order_id, DUPLICATE)
        second = shop.expiry.pay(order_id, reference="ch_2")
        assert second.verdict is DUPLICATE
        assert second.refund_key
        assert shop.expiry.pay(order_id, reference="ch_1") == again
        assert shop.kinds(order_id) == ["paid", "late_payment"]


def test_a_state_of_the_shops_own_is_for_the_shop_to_judge(shop: Shop) -> None:
    shop.create()
    shop.place("42", status="shipped")  # by an update of the shop's own: nothing tells whether it was paid
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", PaymentVerdict.CLOSED)
    assert shop.events("42") == []


def test_an_order_that_was_paid_and_cancelled_is_refunded_by_who_cancelled_it(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="cancelled")
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", PaymentVerdict.CLOSED)
    assert shop.expiry.pay("42", reference="ch_2").refund_key


def test_the_shops_own_words_for_cancelled(shop: Shop) -> None:
    shop.create()
    own = shop.configured(cancelled=("void", "9"))
    shop.place("42", status="void")
    shop.place("43", status="cancelled")
    assert own.expiry.pay("42").refund_key
    assert own.expiry.pay("43").refund_key is None


def test_an_order_that_is_opened_again_takes_no_payment_that_was_refused(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.claim_and_expire()
    late = shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="pending", expires_at=datetime(2030, 1, 31, 12))  # noqa: DTZ001
    assert shop.expiry.pay("42", reference="ch_1") == late
    assert shop.status("42") == "pending"
    assert shop.expiry.pay("42", reference="ch_2").verdict is ACCEPTED
    assert shop.kinds("42") == ["expired", "late_payment", "paid"]


def test_a_refused_payment_is_not_taken_for_the_one_that_the_guard_found(shop: Shop) -> None:
    # given an order whose first payment was refused; it was opened again, and the guard has found another
    shop.create()
    shop.place("42")
    shop.claim_and_expire()
    refused = shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="pending")
    shop.store.settle_paid(["42"])
    # when the callbacks of both come
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE, refused.refund_key)
    # then the one that counts is not given back
    assert shop.expiry.pay("42", reference="ch_2") == Payment("42", DUPLICATE)


def test_an_order_that_is_paid_again_gives_back_neither_payment(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    shop.expiry.pay("42", reference="ch_1")
    shop.change("42", status="pending")
    assert shop.expiry.pay("42", reference="ch_2").verdict is ACCEPTED
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)
    assert shop.expiry.pay("42", reference="ch_3").refund_key


def test_what_looks_alike_has_keys_of_its_own(shop: Shop) -> None:
    shop.create()
    shop.place("a", "a/b", status="expired")
    assert shop.expiry.pay("a/b", reference="c").refund_key != shop.expiry.pay("a", reference="b/c").refund_key


def test_a_payment_for_no_order_changes_nothing(shop: Shop) -> None:
    shop.create("integer")
    shop.expiry.enqueue(7, timeout=60)  # placed in a transaction that is not committed yet
    assert shop.expiry.pay(7) == Payment("7", PaymentVerdict.NOT_FOUND)
    assert shop.score("7") is not None
    with pytest.raises(InvalidOrderId, match="'abc' is no number"):
        shop.expiry.pay("abc")
    assert shop.events("7") == []


def test_a_payment_after_the_deadline_is_accepted_while_the_order_is_pending(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-60)
    assert shop.expiry.pay("42").verdict is ACCEPTED


def test_a_strict_shop_refuses_it_and_expires_the_order_with_its_hooks(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-60)
    shop.place("43", due=60)
    strict = shop.configured(strict=True)
    released: list[object] = []
    shop.hooks.on_expire(lambda session, order_ids: released.extend(order_ids))
    payment = strict.expiry.pay("42", reference="ch_1")
    assert payment.verdict is TOO_LATE
    assert payment.refund_key
    assert (shop.status("42"), shop.score("42")) == ("expired", None)
    assert shop.kinds("42") == ["expired", "late_payment"]
    assert released == ["42"]
    assert strict.expiry.pay("43").verdict is ACCEPTED


def test_grace_belongs_to_the_order(shop: Shop) -> None:
    shop.create()
    strict = shop.configured(strict=True, grace=60)
    strict.place("42", due=-30)
    strict.place("43", due=-90)
    assert strict.score("42") == pytest.approx(shop.schedule.now() - 30, abs=5)  # the deadline, as a bare ZADD has it
    assert strict.claim_and_expire() == {"expired": 1}
    assert shop.status("43") == "expired"
    assert strict.expiry.check("42") is State.PENDING
    assert strict.expiry.pay("42").verdict is ACCEPTED


def test_without_an_outbox_the_verdicts_are_the_same(shop: Shop) -> None:
    shop.create(events=False)
    shop.place("42", "43")
    assert shop.expiry.pay("42", reference="ch_1").verdict is ACCEPTED
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE)
    shop.claim_and_expire()
    late = shop.expiry.pay("43", reference="ch_2")
    assert late.verdict is TOO_LATE
    assert shop.expiry.pay("43", reference="ch_2") == late
    assert shop.events("42") == []


def test_a_redis_that_is_down_changes_no_verdict(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop.create()
    shop.place("42")
    settings = shop.settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}"})
    expiry = shop.adapter.expiry(settings, Schedule.connect(settings), shop.store)
    assert expiry.pay("42").verdict is ACCEPTED
    assert re.search(
        "the order 42 stays in the schedule until its deadline|Redis was not told of the order 42", caplog.text
    )
    assert shop.claim_and_expire() == {"closed": 1}


# In the application's own transaction


@pytest.mark.sqlalchemy_only
def test_it_commits_with_the_applications_work_and_the_schedule_hears_of_it_afterwards(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    with Session(shop.engine) as session:
        order = session.get_one(Order, "42")
        assert shop.expiry.pay("42", session=session).verdict is ACCEPTED
        assert order.status == "paid"  # loaded anew
        assert shop.score("42") is not None
        session.commit()
        assert shop.score("42") is None
    assert shop.status("42") == "paid"


@pytest.mark.sqlalchemy_only
def test_a_rollback_takes_it_back_and_the_schedule_hears_nothing(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    with Session(shop.engine) as session:
        shop.expiry.pay("42", session=session)
        session.rollback()
        session.execute(sa.select(1))
        session.commit()
    assert (shop.status("42"), shop.kinds("42")) == ("pending", [])
    assert shop.score("42") is not None


@pytest.mark.sqlalchemy_only
def test_a_session_that_is_closed_without_a_commit_takes_it_back(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    with Session(shop.engine) as session:
        shop.expiry.pay("42", session=session)
    assert shop.status("42") == "pending"
    assert shop.score("42") is not None


@pytest.mark.sqlalchemy_only
def test_a_savepoint_that_is_rolled_back_takes_it_back(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43", due=60)
    with Session(shop.engine) as session:
        with session.begin_nested() as savepoint:
            shop.expiry.pay("42", session=session)
            savepoint.rollback()
        with session.begin_nested():
            shop.expiry.pay("43", session=session)
        assert shop.score("43") is not None
        session.commit()
    assert (shop.status("42"), shop.status("43")) == ("pending", "paid")
    assert (shop.score("42") is None, shop.score("43")) == (False, None)


@pytest.mark.sqlalchemy_only
def test_a_connection_will_do(shop: Shop) -> None:
    shop.create()
    shop.place("42", "43", due=60)
    with shop.engine.begin() as connection:
        assert shop.expiry.pay("42", session=connection).verdict is ACCEPTED
        assert shop.score("42") is not None
    assert shop.score("42") is None
    # and one that goes on to live tells the schedule when it begins anew
    with shop.engine.connect() as connection:
        shop.expiry.pay("43", session=connection)
        connection.commit()
        connection.execute(sa.select(1))
        assert shop.score("43") is None


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_each_of_many_engines_tells_the_schedule(shop: Shop) -> None:
    # given engines that come and go, so that one has the address of another before it
    shop.create()
    order_ids = [str(number) for number in range(150)]
    shop.place(*order_ids, due=60)
    for order_id in order_ids:
        engine = create_engine(shop.settings.database_url)
        with Session(engine) as session:
            shop.expiry.pay(order_id, session=session)
            session.commit()
        engine.dispose()
    assert shop.redis.zcard("orders") == 0


@pytest.mark.sqlalchemy_only
def test_a_scoped_session_will_do(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    registry = scoped_session(sessionmaker(shop.engine))
    assert shop.expiry.pay("42", session=registry).verdict is ACCEPTED
    registry.commit()
    registry.remove()
    assert (shop.status("42"), shop.score("42")) == ("paid", None)


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_the_session_has_not_flushed_yet_can_be_paid(shop: Shop) -> None:
    shop.create()
    with Session(shop.engine) as session:
        session.execute(sa.text("ALTER TABLE orders ALTER expires_at SET DEFAULT now()"))
        session.add(Order(id="42", status="pending"))
        assert shop.expiry.pay("42", session=session).verdict is ACCEPTED
        session.commit()
    assert shop.status("42") == "paid"


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_a_commit_that_fails_tells_the_schedule_nothing(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE a (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)")
    with Session(shop.engine) as session:
        shop.expiry.pay("42", session=session)
        session.execute(sa.text("INSERT INTO a VALUES (1), (1)"))
        with pytest.raises(sa.exc.IntegrityError):
            session.commit()
    assert shop.status("42") == "pending"
    assert shop.score("42") is not None


@pytest.mark.sqlalchemy_only
def test_extend_too_joins_the_applications_transaction(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=60)
    before = shop.score("42")
    with Session(shop.engine) as session:
        assert shop.expiry.extend("42", timeout=3600, session=session)
        assert shop.score("42") == before
        session.commit()
    assert (shop.score("42") or 0) - (before or 0) == pytest.approx(3540, abs=5)
    [event] = shop.events("42")
    assert event.kind == "extended"
    assert datetime.fromisoformat(event.data["deadline"]) - datetime.now(UTC) > timedelta(minutes=59)
    with Session(shop.engine) as session:
        shop.expiry.extend("42", timeout=7200, session=session)
        session.rollback()
    assert (shop.score("42") or 0) - (before or 0) == pytest.approx(3540, abs=5)


@pytest.mark.sqlalchemy_only
def test_another_database_than_the_settings_name(shop: Shop, tmp_path: Any) -> None:
    # given a web app whose settings name no database: it passes its session
    shop.create()
    shop.place("42", due=60)
    elsewhere = shop.settings.model_copy(update={"database_url": f"sqlite:///{tmp_path / 'nothing.db'}"})
    expiry = OrderExpiry.connect(elsewhere)
    with Session(shop.engine) as session:
        assert expiry.pay("42", session=session).verdict is ACCEPTED
        session.commit()
    assert (shop.status("42"), shop.score("42")) == ("paid", None)
    expiry.close()


@pytest.mark.sqlalchemy_only
def test_what_fails_leaves_nothing_behind_if_the_caller_commits_all_the_same(shop: Shop) -> None:
    # given a strict shop whose hook fails
    shop.create()
    shop.place("42", due=-60)
    strict = shop.configured(strict=True)

    def fail(session: Session, order_ids: object) -> None:
        raise ValueError("no such product")

    shop.hooks.on_expire(fail)
    # when a late payment expires the order, and the caller catches the error
    for joined in (Session(shop.engine), shop.engine.connect()):
        with joined:
            with pytest.raises(ValueError, match="no such product"):
                strict.expiry.pay("42", session=joined)
            joined.commit()
    # then the order is not expired without its stock
    assert (shop.status("42"), shop.kinds("42")) == ("pending", [])


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("commits", [True, False])
def test_an_engine_of_sqlite_as_it_comes_will_do(shop: Shop, commits: bool) -> None:
    shop.create()
    shop.place("42", due=60)
    engine = sa.create_engine(shop.settings.database_url)
    with Session(engine) as session:
        assert shop.expiry.pay("42", session=session).verdict is ACCEPTED
        if commits:
            session.commit()
    engine.dispose()
    assert shop.status("42") == ("paid" if commits else "pending")
    assert (shop.score("42") is None) == commits


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["mariadb", "postgresql"], indirect=True)
def test_a_deadlock_in_the_callers_transaction_is_told_as_one(shop: Shop) -> None:
    # given two transactions that have each locked what the other wants
    shop.create()
    shop.place("a", "b")
    other_waits = threading.Event()

    def lock_both() -> None:
        with shop.engine.begin() as connection:
            if shop.engine.dialect.name == "postgresql":
                connection.exec_driver_sql("SET LOCAL deadlock_timeout = '30s'")
            else:  # the database gives up who has written less
                connection.exec_driver_sql("CREATE TEMPORARY TABLE much (n INT)")
                connection.execute(sa.text("INSERT INTO much VALUES (:n)"), [{"n": n} for n in range(500)])
            connection.execute(sa.text("UPDATE orders SET status = 'seen' WHERE id = 'b'"))
            other_waits.set()
            connection.execute(sa.text("UPDATE orders SET status = 'seen' WHERE id = 'a'"))

    other = threading.Thread(target=lock_both)
    with Session(shop.engine) as session:
        shop.expiry.pay("a", session=session)
        other.start()
        assert other_waits.wait(10)
        # when the second meets the first
        with pytest.raises(StoreConflict):
            shop.expiry.pay("b", session=session)
        session.rollback()
    other.join(10)
    # then the caller knows that it may try again
    assert (shop.status("a"), shop.status("b")) == ("seen", "seen")


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_is_no_session_is_refused(shop: Shop) -> None:
    shop.create()
    with pytest.raises(TypeError, match="accepted is an SQLAlchemy Session, scoped_session or Connection"):
        shop.expiry.pay("42", session="session")  # type: ignore[arg-type]


# The policy for late payments


def stock(shop: Shop, number: int) -> None:
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE stock (left_over INT NOT NULL)")
        connection.execute(sa.text("INSERT INTO stock VALUES (:number)"), {"number": number})


def left_over(shop: Shop) -> int:
    with shop.engine.begin() as connection:
        return int(connection.scalar(sa.text("SELECT left_over FROM stock")) or 0)


def take_again(shop: Shop) -> Callable[[Any, Any], bool]:
    def take(given: Any, order_id: Any) -> bool:
        shop.adapter.sql(given, sa.text("UPDATE stock SET left_over = left_over - 1"))
        return int(shop.adapter.sql(given, sa.text("SELECT left_over FROM stock"))) >= 0

    return take


@pytest.mark.parametrize("joins", [False, True], ids=["own", "joined"])
def test_a_late_payment_revives_the_order_if_there_is_stock(shop: Shop, joins: bool) -> None:
    shop.create()
    stock(shop, 1)
    shop.hooks.on_late_payment(take_again(shop))
    shop.place("42", "43")
    shop.claim_and_expire()

    def pay(order_id: str) -> Payment:
        if not joins:
            return shop.expiry.pay(order_id, reference=f"ch_{order_id}")
        with shop.adapter.transaction(shop.engine) as joined:
            return shop.expiry.pay(order_id, reference=f"ch_{order_id}", **joined)

    first, second = pay("42"), pay("43")
    assert first == Payment("42", ACCEPTED, was_revived=True)
    assert (shop.status("42"), shop.kinds("42")) == ("paid", ["expired", "revived"])
    assert second.verdict is TOO_LATE
    assert second.refund_key
    assert (shop.status("43"), shop.kinds("43")) == ("expired", ["expired", "late_payment"])
    assert left_over(shop) == 0  # what the second took was undone
    assert pay("42") == Payment("42", DUPLICATE)


def test_a_payment_that_was_refused_stays_refused(shop: Shop) -> None:
    # given a payment that was refused, and is being refunded
    shop.create()
    stock(shop, 0)
    shop.hooks.on_late_payment(take_again(shop))
    shop.place("42")
    shop.claim_and_expire()
    late = shop.expiry.pay("42", reference="ch_1")
    # when there is stock again, and its callback is repeated
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE stock SET left_over = 5")
    assert shop.expiry.pay("42", reference="ch_1") == late
    # then only another payment can revive the order
    assert shop.expiry.pay("42", reference="ch_2").verdict is ACCEPTED
    assert shop.expiry.pay("42", reference="ch_1") == Payment("42", DUPLICATE, late.refund_key)
    assert left_over(shop) == 4


def test_reviving_needs_the_outbox(shop: Shop) -> None:
    shop.create(events=False)
    shop.hooks.on_late_payment(take_again(shop))
    with pytest.raises(SchemaError, match="'order_events', and the database has no such table"):
        shop.expiry.pay("42")


def test_a_conflict_is_tried_again_in_a_transaction_of_its_own_only(shop: Shop) -> None:
    shop.create()
    shop.place("42")
    pay, failed = shop.store.pay, list[int]()

    def conflict(*arguments: Any, **named: Any) -> Payment:
        if len(failed) < 2:
            failed.append(1)
            raise StoreConflict("deadlock")
        return pay(*arguments, **named)

    shop.store.pay = conflict  # type: ignore[method-assign]
    assert shop.expiry.pay("42").verdict is ACCEPTED
    assert len(shop.slept) == 2
    failed.clear()
    with shop.adapter.transaction(shop.engine) as joined, pytest.raises(StoreConflict):
        shop.expiry.pay("42", **joined)
