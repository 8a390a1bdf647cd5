"""What the functions for asyncio do in a transaction of SQLAlchemy's async sessions and connections."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker

from orders import aio
from orders.expiry.use_cases import OrderExpiry
from orders.operate.operations import Operations
from orders.store.outcomes import PaymentVerdict
from tests.conftest import Shop
from tests.integration.aio.conftest import DEADLINE, LONGEST_PAUSE, database, ticking

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


async def insert(session: AsyncSession, order_id: str) -> None:
    statement = sa.text("INSERT INTO orders (id, status, expires_at) VALUES (:id, 'pending', :deadline)")
    await session.execute(statement, {"id": order_id, "deadline": DEADLINE})


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


def test_payments_and_removals_of_one_commit_are_told_apart(shop: Shop) -> None:
    shop.place("1", "2", "3", "4", "5", due=60)

    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session:
            for order_id in ("1", "2"):
                assert (await aio.pay(order_id, session=session)).verdict is PaymentVerdict.ACCEPTED
            assert await aio.cancel("3", session=session)
            assert (await aio.pay("4", session=session)).verdict is PaymentVerdict.ACCEPTED
            assert (await aio.pay("4", session=session)).verdict is PaymentVerdict.DUPLICATE
            await session.commit()
            await aio.drain()

    asyncio.run(main())
    assert list(shop.schedule_as_dict()) == ["5"]
    assert sum(bucket.paid for bucket in Operations(shop.expiry).history(minutes=1440)) == 3


def test_hold_and_cancel_join_the_transaction_of_an_async_session(shop: Shop) -> None:
    shop.place("42", "43", due=60)
    scores = shop.schedule_as_dict()

    async def main() -> None:
        async with database(shop) as engine, AsyncSession(engine) as session:
            assert await aio.hold("42", 900, session=session)
            assert await aio.cancel("43", reason="by the customer", session=session)
            await session.rollback()
            await aio.drain()
            assert (shop.status("43"), shop.schedule_as_dict()) == ("pending", scores)
            assert await aio.hold("42", 900, session=session)
            assert await aio.cancel("43", reason="by the customer", session=session)
            assert not await aio.hold("43", 900, session=session)
            await aio.drain()
            assert shop.schedule_as_dict() == scores
            await session.commit()
            await aio.drain()

    asyncio.run(main())
    held_until = shop.clock.now() + timedelta(seconds=900)
    assert shop.schedule_as_dict() == {"42": pytest.approx(held_until.timestamp(), abs=1e-5)}
    assert (shop.kinds("42"), shop.status("43"), shop.kinds("43")) == (["extended"], "cancelled", ["cancelled"])


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
    assert time.monotonic() - started < 10
    assert hanging.outages.count == 1
