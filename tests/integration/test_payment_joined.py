"""Payments in a transaction of the application's own."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from orders.errors import StoreConflict
from orders.expiry.use_cases import OrderExpiry
from orders.store.engine import create_engine
from orders.store.outcomes import PaymentVerdict
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

ACCEPTED = PaymentVerdict.ACCEPTED


class Base(DeclarativeBase):
    pass


class Order(Base):
    """The shop's own model of the default table."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    status: Mapped[str]


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
    with pytest.raises(TypeError, match="is not an SQLAlchemy Session, scoped_session or Connection"):
        shop.expiry.pay("42", session="session")  # type: ignore[arg-type]
