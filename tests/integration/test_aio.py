"""The functions for asyncio, on a real Redis and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import Session

from orders import aio, process
from orders.embedded import free_port
from orders.errors import InvalidDeadline, InvalidOrderId, ScheduleUnavailable
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.clients import CONNECTIONS
from orders.store.outcomes import Payment, PaymentVerdict, State
from tests.conftest import Shop

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

DEADLINE = datetime(2030, 1, 31, 12, tzinfo=UTC)

LONGEST_PAUSE = 0.75
"""Seconds that a loop that nobody blocks may pause, on a busy machine; what hangs here hangs for a second."""


@pytest.fixture(autouse=True)
def _used(shop: Shop) -> Iterator[None]:
    shop.create()
    with process.using(shop.expiry):
        yield


@pytest.fixture
def hanging(shop: Shop) -> Iterator[OrderExpiry]:
    """The same shop on a Redis that accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"redis://127.0.0.1:{listener.getsockname()[1]}/0?socket_timeout=1"
        expiry = OrderExpiry.connect(shop.settings.model_copy(update={"redis_url": url}))
        with process.using(expiry):
            yield expiry
        expiry.close()


@asynccontextmanager
async def database(shop: Shop) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(sa.make_url(shop.settings.database_url).set(drivername="postgresql+psycopg"))
    yield engine
    await engine.dispose()


@asynccontextmanager
async def ticking() -> AsyncIterator[None]:
    """Fail if the loop pauses in here."""
    pauses: list[float] = []

    async def tick() -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            pauses.append(time.monotonic() - before)

    ticker = asyncio.create_task(tick())
    await asyncio.sleep(0)
    yield
    ticker.cancel()
    assert pauses
    assert max(pauses) < LONGEST_PAUSE


async def insert(session: AsyncSession, order_id: str) -> None:
    statement = sa.text("INSERT INTO orders (id, status, expires_at) VALUES (:id, 'pending', :deadline)")
    await session.execute(statement, {"id": order_id, "deadline": DEADLINE})


def test_an_order_is_scheduled_and_removed(shop: Shop) -> None:
    async def main() -> None:
        assert await aio.enqueue("42", expires_at=DEADLINE) == DEADLINE
        assert shop.score("42") == DEADLINE.timestamp()
        assert await aio.enqueue(43, timeout=60) - shop.clock.now() == timedelta(seconds=60)
        assert await aio.remove(42) is True
        assert await aio.remove(42) is False

    asyncio.run(main())
    assert set(shop.schedule_as_dict()) == {"43"}


def test_many_are_scheduled_in_chunks(shop: Shop) -> None:
    pairs = [(number, DEADLINE + timedelta(seconds=number)) for number in range(2500)]
    assert asyncio.run(aio.enqueue_many(pairs)) == 2500
    assert shop.schedule_as_dict() == {str(number): DEADLINE.timestamp() + number for number in range(2500)}


def test_it_says_the_same_to_redis_as_the_others_do(shop: Shop) -> None:
    other = shop.configured(score="created", timeout=600, grace=30, key="{shop}:orders")
    other.expiry.enqueue("sync", expires_at=DEADLINE)
    with process.using(other.expiry):
        asyncio.run(aio.enqueue("async", expires_at=DEADLINE))
    score = shop.redis.zscore("{shop}:orders", "sync")
    assert score == shop.redis.zscore("{shop}:orders", "async") == DEADLINE.timestamp() - 600


def test_redis_may_have_forgotten_the_scripts(shop: Shop) -> None:
    async def main() -> None:
        await aio.enqueue("42")
        shop.redis.script_flush()
        await aio.enqueue("43")
        shop.redis.script_flush()
        assert await aio.remove("42")

    asyncio.run(main())
    assert set(shop.schedule_as_dict()) == {"43"}


def test_what_is_wrong_is_told_at_the_call(shop: Shop) -> None:
    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session, session.begin():
            with pytest.raises(InvalidOrderId):
                await aio.enqueue("", session=session)
            with pytest.raises(InvalidOrderId):
                await aio.remove("", session=session)
            with pytest.raises(InvalidDeadline):
                await aio.enqueue("42", timeout=-1, session=session)
            with pytest.raises(InvalidDeadline):
                await aio.enqueue_many([("41", DEADLINE), ("42", datetime(2030, 1, 31))])  # noqa: DTZ001
            with pytest.raises(TypeError, match="it must be an SQLAlchemy AsyncSession"):
                await aio.enqueue("42", session=Session())  # type: ignore[arg-type]
            assert aio.deadline("42", expires_at=DEADLINE) == DEADLINE

    asyncio.run(main())
    assert shop.schedule_as_dict() == {}


def test_each_loop_has_connections_of_its_own_and_closes_them(shop: Shop) -> None:
    before = len(shop.redis.client_list())
    for number in range(3):
        asyncio.run(aio.enqueue(number))
    threads = [threading.Thread(target=lambda n=n: asyncio.run(in_thread(shop, n))) for n in range(3, 6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(shop.schedule_as_dict()) == 6
    wait_until(lambda: len(shop.redis.client_list()) == before)


async def in_thread(shop: Shop, number: int) -> None:
    with process.using(shop.expiry):
        await asyncio.gather(*(aio.enqueue(number) for _ in range(20)))


def wait_until(holds: object) -> None:
    """Wait for Redis, which notices a closed connection a moment later."""
    give_up = time.monotonic() + 5
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_a_loop_opens_so_many_connections_and_no_more(shop: Shop) -> None:
    before, most = len(shop.redis.client_list()), 0

    async def main() -> None:
        nonlocal most
        await asyncio.gather(*(aio.enqueue(number) for number in range(500)))
        most = len(shop.redis.client_list())

    asyncio.run(main())
    assert len(shop.schedule_as_dict()) == 500
    assert before < most <= before + CONNECTIONS


def test_it_can_be_closed_and_used_again(shop: Shop) -> None:
    before = len(shop.redis.client_list())

    async def main() -> None:
        await aio.enqueue("42")
        await aio.close()
        wait_until(lambda: len(shop.redis.client_list()) == before)
        await aio.close()
        await aio.enqueue("43")

    asyncio.run(main())
    assert set(shop.schedule_as_dict()) == {"42", "43"}


def test_a_redis_that_hangs_does_not_stop_the_loop(hanging: OrderExpiry) -> None:
    async def main() -> None:
        async with ticking():
            started = time.monotonic()
            with pytest.raises(ScheduleUnavailable):
                await aio.enqueue("42")
            assert 0.9 < time.monotonic() - started < 3  # the time-out of the URL, once
            with pytest.raises(ScheduleUnavailable):
                await aio.remove("42")

    asyncio.run(main())


def test_nor_does_it_while_a_thread_waits_for_it(shop: Shop, hanging: OrderExpiry) -> None:
    shop.place("42", enqueue=False)

    async def main() -> None:
        async with ticking():
            assert (await aio.pay("42")).verdict is PaymentVerdict.ACCEPTED
            assert await aio.check("42") is State.PAID

    asyncio.run(main())
    assert hanging.outages.count == 1


def test_a_redis_that_is_down_is_told(shop: Shop) -> None:
    settings = shop.settings.model_copy(update={"redis_url": f"redis://127.0.0.1:{free_port()}"})
    with process.using(OrderExpiry.connect(settings)), pytest.raises(ScheduleUnavailable, match="ORDERS_REDIS_URL"):
        asyncio.run(aio.enqueue("42"))


# What touches the database


def test_an_order_is_paid_extended_checked_and_explained(shop: Shop) -> None:
    shop.place("42", "43", due=60)
    shop.place("44", due=-60)

    async def main() -> None:
        async with ticking():
            assert await aio.pay("42", reference="ch_1") == Payment("42", PaymentVerdict.ACCEPTED)
            assert await aio.extend("43", expires_at=DEADLINE)
            assert await aio.check("44") is State.EXPIRED
            assert (await aio.explain("43")).order_id == "43"

    asyncio.run(main())
    assert shop.schedule_as_dict() == {"43": DEADLINE.timestamp()}
    assert [shop.status(order_id) for order_id in ("42", "43", "44")] == ["paid", "pending", "expired"]


def test_a_payment_joins_the_transaction_of_an_async_session(shop: Shop) -> None:
    shop.place("42", "43", due=60)

    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session:
            assert (await aio.pay("42", session=session)).verdict is PaymentVerdict.ACCEPTED
            await session.rollback()
            assert (await aio.pay("42", reference="ch_1", session=session)).verdict is PaymentVerdict.ACCEPTED
            assert await aio.extend("43", expires_at=DEADLINE, session=session)
            assert shop.score("42") is not None
            await session.commit()
            await aio.drain()

    asyncio.run(main())
    assert (shop.status("42"), shop.kinds("42")) == ("paid", ["paid"])
    assert shop.schedule_as_dict() == {"43": DEADLINE.timestamp()}


def test_an_order_is_scheduled_once_its_transaction_is_committed(shop: Shop) -> None:
    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session:
            await insert(session, "42")
            assert await aio.enqueue("42", expires_at=DEADLINE, session=session) == DEADLINE
            assert await aio.enqueue_many([("43", DEADLINE), ("44", DEADLINE)], session=session) == 2
            assert await aio.remove("44", session=session) is False
            await aio.drain()
            assert shop.schedule_as_dict() == {}
            await session.commit()
            await aio.drain()
            assert shop.schedule_as_dict() == dict.fromkeys(["42", "43"], DEADLINE.timestamp())
            # and without a transaction at once
            await aio.enqueue("45", session=session)
            assert shop.score("45") is not None
            assert await aio.remove("45", session=session) is True

    asyncio.run(main())


def test_a_rollback_forgets_it_even_to_a_savepoint(shop: Shop) -> None:
    async def main() -> None:
        async with database(shop) as engine:
            async with AsyncSession(engine) as session:
                await insert(session, "41")
                await aio.enqueue("41", session=session)
                await session.rollback()
                await insert(session, "42")
                await aio.enqueue("42", session=session)
                async with session.begin_nested() as savepoint:
                    await aio.enqueue("43", session=session)
                    await savepoint.rollback()
                await session.commit()
            async with AsyncSession(engine) as session:
                await insert(session, "44")
                await aio.enqueue("44", session=session)

    asyncio.run(main())
    assert set(shop.schedule_as_dict()) == {"42"}


def test_connections_and_scoped_sessions_will_do(shop: Shop) -> None:
    async def main() -> None:
        async with database(shop) as engine:
            async with engine.begin() as connection:
                await aio.enqueue("42", session=connection)
            scoped = async_scoped_session(async_sessionmaker(engine), asyncio.current_task)
            await insert(scoped(), "43")
            await aio.enqueue("43", session=scoped)
            await scoped.commit()
            await scoped.remove()

    asyncio.run(main())
    assert set(shop.schedule_as_dict()) == {"42", "43"}


@pytest.mark.parametrize("closes", [True, False])
def test_what_was_committed_last_is_told_before_the_loop_ends(shop: Shop, closes: bool) -> None:
    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session:
            await insert(session, "42")
            await aio.enqueue("42", session=session)
            await session.commit()
            if closes:
                await aio.close()

    asyncio.run(main())
    assert set(shop.schedule_as_dict()) == {"42"}


def test_the_last_of_many_transactions_decides(shop: Shop) -> None:
    shop.place("42", due=60)

    async def main() -> None:
        async with database(shop) as engine:
            for number in range(50):
                async with AsyncSession(engine) as session, session.begin():
                    await session.execute(sa.text("SELECT 1"))
                    await aio.enqueue("42", expires_at=DEADLINE + timedelta(seconds=number), session=session)
                    await aio.remove("41", session=session)

    asyncio.run(main())
    assert shop.score("42") == DEADLINE.timestamp() + 49


def test_a_commit_does_not_wait_for_a_redis_that_hangs(
    shop: Shop, hanging: OrderExpiry, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session, ticking():
            await insert(session, "42")
            await aio.enqueue("42", session=session)
            await aio.remove("41", session=session)
            started = time.monotonic()
            await session.commit()
            assert time.monotonic() - started < LONGEST_PAUSE
            await aio.drain()
            # and if there is nothing to wait for, it waits, and is forgiven
            await aio.enqueue("43", session=session)

    asyncio.run(main())
    assert shop.status("42") == "pending"
    assert hanging.outages.count == 3
    assert "order 42 could not be scheduled; reconcile picks it up once it is overdue: " in caplog.text
    assert "order 41 could not be removed from the schedule; it stays there until its deadline" in caplog.text


def test_a_loop_that_ends_while_redis_hangs_gives_up(shop: Shop, hanging: OrderExpiry) -> None:
    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session:
            await insert(session, "42")
            await aio.enqueue("42", session=session)
            await session.commit()
            await asyncio.sleep(0.1)  # the call to Redis has begun, and is cancelled

    started = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - started < 5
    assert hanging.outages.count == 1
