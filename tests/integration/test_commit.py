"""What is scheduled once the application's transaction has been committed, on real databases and a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker

from orders.embedded import EmbeddedRedis
from orders.errors import InvalidDeadline, InvalidOrderId
from orders.expiry.use_cases import OrderExpiry
from tests.conftest import Shop
from tests.servers import with_driver

pytestmark = pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)

DEADLINE = datetime(2030, 1, 31, 12, tzinfo=UTC)


class Base(DeclarativeBase):
    pass


class Order(Base):
    """An order that gets its id from the database."""

    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    status: Mapped[str] = mapped_column(sa.String(16), default="pending")
    expires_at: Mapped[datetime] = mapped_column(sa.DateTime(timezone=True), default=DEADLINE)


@pytest.fixture(autouse=True)
def _table(shop: Shop) -> None:
    Base.metadata.create_all(shop.engine)


def place(session: Session) -> str:
    """Place an order in the session's transaction, and return its id."""
    order = Order()
    session.add(order)
    session.flush()  # the database gives the id
    return str(order.id)


@pytest.fixture
def stopped(tmp_path: Path, shop: Shop) -> Iterator[tuple[Shop, EmbeddedRedis]]:
    """The shop on a Redis that is down, and that Redis."""
    server = EmbeddedRedis(tmp_path / "redis").start()
    server.stop()
    settings = shop.settings.model_copy(update={"redis_url": server.url})
    expiry = OrderExpiry.connect(settings)
    yield Shop(settings, expiry, shop.store, expiry.schedule, shop.redis, shop.engine, shop.clock), server
    expiry.close()
    server.stop()


def test_an_order_is_scheduled_once_its_transaction_is_committed(shop: Shop) -> None:
    with Session(shop.engine) as session:
        order_id = place(session)
        assert shop.expiry.enqueue(order_id, expires_at=DEADLINE, session=session) == DEADLINE
        assert shop.score(order_id) is None
        session.commit()
        assert shop.score(order_id) == DEADLINE.timestamp()
    assert shop.status(int(order_id)) == "pending"


def test_a_rollback_forgets_it(shop: Shop) -> None:
    with Session(shop.engine) as session:
        shop.expiry.enqueue(place(session), session=session)
        session.rollback()
        place(session)
        session.commit()
    assert shop.schedule_as_dict() == {}


def test_a_session_that_is_closed_without_a_commit_forgets_it(shop: Shop) -> None:
    with Session(shop.engine) as session:
        shop.expiry.enqueue(place(session), session=session)
    with Session(shop.engine) as session:  # on the same connection of the pool
        place(session)
        session.commit()
    assert shop.schedule_as_dict() == {}


def test_a_savepoint_that_is_rolled_back_forgets_what_was_placed_in_it_only(shop: Shop) -> None:
    with Session(shop.engine) as session:
        before = place(session)
        shop.expiry.enqueue(before, session=session)
        with session.begin_nested():
            kept = place(session)
            shop.expiry.enqueue(kept, session=session)
            with session.begin_nested() as inner:
                shop.expiry.enqueue(place(session), session=session)
                inner.rollback()
        with session.begin_nested() as savepoint:
            shop.expiry.enqueue(place(session), session=session)
            with session.begin_nested():
                shop.expiry.enqueue(place(session), session=session)
            savepoint.rollback()
        after = place(session)
        shop.expiry.enqueue(after, session=session)
        session.commit()
    assert set(shop.schedule_as_dict()) == {before, kept, after}


def test_a_savepoint_that_is_older_than_what_waits_forgets_it_all(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        savepoint = connection.begin_nested()
        shop.expiry.enqueue("42", session=connection)
        savepoint.rollback()
    assert shop.schedule_as_dict() == {}


def test_two_in_one_transaction_are_told_in_their_order(shop: Shop) -> None:
    with Session(shop.engine) as session:
        order_id = place(session)
        shop.expiry.enqueue(order_id, expires_at=DEADLINE, session=session)
        shop.expiry.enqueue(order_id, expires_at=DEADLINE + timedelta(hours=1), session=session)
        session.commit()
        assert shop.score(order_id) == DEADLINE.timestamp() + 3600
        place(session)
        shop.expiry.enqueue(order_id, expires_at=DEADLINE, session=session)
        assert shop.expiry.remove(order_id, session=session) is False  # not known yet
        session.commit()
    assert shop.score(order_id) is None


def test_many_are_scheduled_after_the_commit(shop: Shop) -> None:
    with Session(shop.engine) as session:
        order_ids = [place(session) for _ in range(3)]
        assert shop.expiry.enqueue_many([(order_id, DEADLINE) for order_id in order_ids], session=session) == 3
        assert shop.schedule_as_dict() == {}
        session.commit()
    assert shop.schedule_as_dict() == dict.fromkeys(order_ids, DEADLINE.timestamp())


def test_an_order_is_removed_after_the_commit(shop: Shop) -> None:
    shop.place(7, due=60)
    with Session(shop.engine) as session:
        session.get_one(Order, 7).status = "cancelled"
        assert shop.expiry.remove(7, session=session) is False
        assert shop.score("7") is not None
        session.rollback()
        session.get_one(Order, 7).status = "cancelled"
        shop.expiry.remove(7, session=session)
        session.commit()
    assert shop.score("7") is None


def test_without_a_transaction_it_happens_at_once(shop: Shop) -> None:
    with Session(shop.engine) as session, shop.engine.connect() as connection:
        for joined in (session, connection):
            shop.expiry.enqueue("42", expires_at=DEADLINE, session=joined)
            assert shop.score("42") == DEADLINE.timestamp()
            assert shop.expiry.remove("42", session=joined) is True
            assert not joined.in_transaction()


def test_a_session_in_a_transaction_of_its_connection_waits_for_that(shop: Shop) -> None:
    with shop.engine.connect() as connection:
        with connection.begin(), Session(connection) as session:
            shop.expiry.enqueue("42", session=session)
            place(session)
            shop.expiry.enqueue("43", session=session)
            session.commit()
            assert shop.schedule_as_dict() == {}
        assert shop.schedule_as_dict() == {}  # SQLAlchemy tells of a commit before it happens
    assert set(shop.schedule_as_dict()) == {"42", "43"}


@pytest.mark.parametrize(
    "configure",
    [
        lambda url: sa.create_engine(url, isolation_level="AUTOCOMMIT"),
        lambda url: sa.create_engine(url, execution_options={"isolation_level": "AUTOCOMMIT"}),
    ],
    ids=["engine", "option"],
)
def test_a_connection_that_commits_each_statement_has_no_commit_to_wait_for(
    shop: Shop, configure: Callable[[str], sa.Engine]
) -> None:
    engine = configure(with_driver(shop.settings.database_url))
    with Session(engine) as session:
        order_id = place(session)
        shop.expiry.enqueue(order_id, session=session)
        assert shop.score(order_id) is not None
    engine.dispose()


def test_a_scoped_session_will_do(shop: Shop) -> None:
    registry = scoped_session(sessionmaker(shop.engine))
    order_id = place(registry())
    shop.expiry.enqueue(order_id, session=registry)
    assert shop.score(order_id) is None
    registry.commit()
    assert shop.score(order_id) is not None
    registry.remove()


def test_nothing_is_flushed(shop: Shop) -> None:
    with Session(shop.engine, autoflush=False) as session:
        session.add(Order(id=1))
        session.add(Order(id=1))  # would fail
        shop.expiry.enqueue(1, session=session)
        session.expunge_all()
        session.commit()
    assert shop.score("1") is not None


def test_what_is_wrong_is_told_at_the_call(shop: Shop) -> None:
    with Session(shop.engine) as session:
        place(session)
        with pytest.raises(InvalidOrderId):
            shop.expiry.enqueue("", session=session)
        with pytest.raises(InvalidOrderId):
            shop.expiry.remove("", session=session)
        with pytest.raises(InvalidDeadline):
            shop.expiry.enqueue("42", timeout=-1, session=session)
        with pytest.raises(InvalidDeadline):
            shop.expiry.enqueue_many([("42", datetime(2030, 1, 31))], session=session)  # noqa: DTZ001
        with pytest.raises(TypeError, match="is not an SQLAlchemy Session, scoped_session or Connection"):
            shop.expiry.enqueue("42", session="session")  # type: ignore[arg-type]
        session.commit()
    assert shop.schedule_as_dict() == {}


def test_an_outage_breaks_no_commit_and_reconciling_makes_up_for_it(
    stopped: tuple[Shop, EmbeddedRedis], caplog: pytest.LogCaptureFixture
) -> None:
    shop, server = stopped
    # given an order that is placed, and due, while Redis is down
    due = datetime.now(UTC) - timedelta(minutes=5)
    with Session(shop.engine) as session:
        order = Order(expires_at=due)
        session.add(order)
        session.flush()
        shop.expiry.enqueue(order.id, expires_at=due, session=session)
        session.commit()
        order_id = order.id
    # then it is placed, and the outage is told
    assert shop.status(order_id) == "pending"
    assert f"order {order_id} could not be scheduled; reconcile picks it up once it is overdue: " in caplog.text
    assert shop.expiry.outages.count == 1
    # when Redis is back
    server.start()
    assert shop.expiry.reconcile().added == 1
    assert shop.claim_and_expire() == {"expired": 1}
    assert shop.status(order_id) == "expired"


def test_an_outage_breaks_nothing_else_that_follows_a_commit(
    stopped: tuple[Shop, EmbeddedRedis], caplog: pytest.LogCaptureFixture
) -> None:
    shop, _ = stopped
    shop.place(7, 8, due=60, enqueue=False)
    with Session(shop.engine) as session:
        assert shop.expiry.extend(7, timeout=3600, session=session)
        assert shop.expiry.remove(8, session=session) is False
        many: list[tuple[str, None]] = [(str(number), None) for number in range(100, 120)]
        shop.expiry.enqueue_many(many, session=session)
        session.commit()
        assert shop.expiry.remove(8, session=session) is False  # there is no transaction now, but a session
        assert not session.in_transaction()
    assert shop.expiry.outages.count == 4
    assert "order 7 could not be scheduled; reconcile picks it up once it is overdue: " in caplog.text
    assert "order 8 could not be removed from the schedule; it stays there until its deadline" in caplog.text
    assert "order 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, … could not be scheduled" in caplog.text


def test_the_first_order_adds_no_listener_over_which_another_thread_iterates(shop: Shop) -> None:
    at_work = [iter(shop.engine.dispatch.begin), iter(shop.engine.pool.dispatch.checkin)]
    for listeners in at_work:
        next(listeners)
    with Session(shop.engine) as session, session.begin():
        shop.expiry.enqueue(place(session), session=session)
    for listeners in at_work:
        list(listeners)  # RuntimeError: deque mutated during iteration


def test_a_connection_that_was_lost_can_be_rolled_back(shop: Shop) -> None:
    with shop.engine.connect() as connection:
        transaction = connection.begin()
        shop.expiry.enqueue("42", session=connection)
        connection.invalidate()
        transaction.rollback()
        assert connection.scalar(sa.select(1)) == 1
    assert shop.score("42") is None
