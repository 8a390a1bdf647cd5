"""The functions for asyncio, on a real Redis and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import threading
import time
from datetime import datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from orders import aio, process
from orders.embedded import free_port
from orders.errors import InvalidDeadline, InvalidOrderId, ScheduleUnavailable
from orders.expiry.use_cases import OrderExpiry
from orders.schedule.clients import CONNECTIONS
from orders.store.outcomes import Payment, PaymentVerdict, State
from tests.conftest import Shop
from tests.integration.aio.conftest import DEADLINE, database, ticking

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


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
            assert 2.9 < time.monotonic() - started < 5.9  # the time-out of the URL, once
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


def test_an_order_is_held_and_cancelled(shop: Shop) -> None:
    shop.place("42", "43", due=5)

    async def main() -> None:
        async with ticking():
            assert await aio.hold("42", timedelta(minutes=15)) is True
            assert await aio.cancel("43", reason="by the customer") is True
            assert await aio.cancel("43") is False
            assert await aio.hold("43", 60) is False
            with pytest.raises(InvalidDeadline):
                await aio.hold("42", -1)

    asyncio.run(main())
    held_until = shop.clock.now() + timedelta(minutes=15)
    assert shop.schedule_as_dict() == {"42": pytest.approx(held_until.timestamp(), abs=1e-5)}
    assert (shop.kinds("42"), shop.status("43"), shop.kinds("43")) == (["extended"], "cancelled", ["cancelled"])


def test_a_pause_stops_and_a_resume_goes_on(shop: Shop) -> None:

    async def main() -> None:
        begun = await aio.pause(60, reason="the gateway is down")
        assert await aio.paused() == begun
        assert await aio.resume(extend=True) == begun
        assert await aio.paused() is None

    asyncio.run(main())
