"""The functions that an application calls, for asyncio. None of them blocks the event loop.

Functions that need only Redis use `redis.asyncio`, with the scripts, keys and timeouts of `orders.schedule`. Functions
that need the database run in a thread on ``ORDERS_DATABASE_URL`` or, with an `AsyncSession`, in its transaction. The
shop's deadline rule, and its hooks in the transaction of an `AsyncSession`, are called on the event loop.

Each event loop has its own connections. They are closed by `close`, or when `asyncio.run` ends the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from orders import ids, pauses
from orders.api import deadline
from orders.expiry import Explanation, OrderExpiry
from orders.ids import OrderId
from orders.process import current
from orders.schedule import NOT_REMOVED, AsyncSchedule, CommitQueue
from orders.store import Pause, Payment, PaymentVerdict, State, after_commit, awaited

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session

    AsyncJoined: TypeAlias = AsyncSession | async_scoped_session[AsyncSession] | AsyncConnection
    """The caller's session or connection whose transaction to use."""

T = TypeVar("T")

__all__ = [
    "cancel",
    "check",
    "close",
    "deadline",
    "drain",
    "enqueue",
    "enqueue_many",
    "explain",
    "extend",
    "hold",
    "pause",
    "paused",
    "pay",
    "remove",
    "resume",
]

_loops: dict[tuple[asyncio.AbstractEventLoop, OrderExpiry], CommitQueue] = {}
_changing = Lock()


async def enqueue(
    order_id: OrderId,
    *,
    expires_at: datetime | None = None,
    timeout: float | timedelta | None = None,
    context: Mapping[str, Any] | None = None,
    session: AsyncJoined | None = None,
) -> datetime:
    """Schedule an order's expiry once the transaction that placed the order is committed.

    Args:
        order_id: the order's id.
        expires_at: the deadline, an aware datetime.
        timeout: instead of a deadline, seconds (or a timedelta) from now. If both are omitted, as in `orders.enqueue`.
        context: what the shop's ``@orders.deadline_rule`` needs to know.
        session: an SQLAlchemy `AsyncSession` or `AsyncConnection`. The order is scheduled in the background after its
            transaction is committed, and not at all if that is rolled back. If no transaction is open, it is scheduled
            at once. The session is not flushed. If Redis fails after the commit, the error is logged and counted.

    Returns:
        The deadline, in UTC.

    Raises:
        InvalidOrderId: not a valid order id.
        InvalidDeadline: the deadline is not a datetime or is naive, or the timeout is negative.
        ScheduleUnavailable: *session* is None, and Redis is unreachable or did not answer in time.
    """
    expiry = current()
    deadline = expiry.deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)
    await _put(expiry, [(ids.parse(order_id), deadline)], session)
    return deadline


async def enqueue_many(pairs: Iterable[tuple[OrderId, datetime | None]], *, session: AsyncJoined | None = None) -> int:
    """Schedule many orders, in one round trip per 1,000; see `orders.enqueue_many`, and `enqueue` for *session*."""
    expiry = current()
    entries = expiry.entries(pairs)
    await _put(expiry, entries, session)
    return len(entries)


async def remove(order_id: OrderId, *, session: AsyncJoined | None = None) -> bool:
    """Remove an order from the schedule; see `orders.remove`, and `enqueue` for *session*."""
    order_id, expiry = ids.parse(order_id), current()
    queue = await _queue(expiry)
    if session is None:
        return await queue.schedule.remove([order_id]) > 0
    if await _waits(session, partial(queue.remove, order_id)):
        return False
    with expiry.outages.forgiven([order_id], NOT_REMOVED):
        return await queue.schedule.remove([order_id]) > 0
    return False


async def extend(
    order_id: OrderId,
    *,
    expires_at: datetime | None = None,
    timeout: float | timedelta | None = None,
    context: Mapping[str, Any] | None = None,
    session: AsyncJoined | None = None,
) -> bool:
    """Give a pending order a new deadline, in its row and in the schedule; see `orders.extend`.

    Args:
        order_id: the order's id.
        expires_at: the new deadline, an aware datetime.
        timeout: instead of a deadline, seconds (or a timedelta) from now.
        context: what the shop's ``@orders.deadline_rule`` needs to know.
        session: an `AsyncSession` or `AsyncConnection` whose transaction to use. Without a session, this runs in its
            own transaction, in a thread.
    """
    expiry = current()
    deadline = expiry.deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)
    if session is None:
        return await asyncio.to_thread(expiry.extend, order_id, expires_at=deadline)
    change = partial(expiry.store.extend, ids.parse(order_id), deadline)
    extended = await _run_sync(session, lambda sync: change(session=sync))
    if extended is not None:
        await _reschedule(expiry, extended, deadline, session)
    return extended is not None


async def hold(order_id: OrderId, seconds: float | timedelta, *, session: AsyncJoined | None = None) -> bool:
    """Keep a pending order from expiring during a payment; see `orders.hold`, and `extend` for *session*."""
    expiry = current()
    if session is None:
        return await asyncio.to_thread(expiry.hold, order_id, seconds)
    change = partial(expiry.store.hold, ids.parse(order_id), expiry.held_until(seconds), by="hold")
    held = await _run_sync(session, lambda sync: change(session=sync))
    if held is not None:
        await _reschedule(expiry, held.order_id, held.deadline, session)
    return held is not None


async def cancel(order_id: OrderId, *, reason: str = "cancelled", session: AsyncJoined | None = None) -> bool:
    """Cancel an order if it is pending; see `orders.cancel`, and `extend` for *session*."""
    expiry = current()
    if session is None:
        return await asyncio.to_thread(expiry.cancel, order_id, reason=reason)
    change = partial(expiry.store.cancel, ids.parse(order_id), reason=reason)
    cancelled = await _run_sync(session, lambda sync: change(session=sync))
    if cancelled is not None:
        queue = await _queue(expiry)
        await _follow(session, partial(queue.remove, cancelled))
    return cancelled is not None


async def pay(order_id: OrderId, *, reference: str | None = None, session: AsyncJoined | None = None) -> Payment:
    """Mark an order as paid if it is pending; see `orders.pay`.

    Args:
        order_id: the order's id.
        reference: the gateway's id of the payment, text of 1 to 255 characters.
        session: an `AsyncSession` or `AsyncConnection` whose transaction to use. Without a session, this runs in its
            own transaction, in a thread.
    """
    expiry = current()
    if session is None:
        return await asyncio.to_thread(expiry.pay, order_id, reference=reference)
    change = partial(expiry.store.pay, ids.parse(order_id), reference=ids.parse_reference(reference))
    payment = await _run_sync(session, lambda sync: change(session=sync))
    if payment.is_final:
        queue = await _queue(expiry)
        remove = partial(queue.remove, payment.order_id, is_paid=payment.verdict is PaymentVerdict.ACCEPTED)
        await _follow(session, remove)
    return payment


async def check(order_id: OrderId) -> State:
    """Expire an order now if it is overdue; see `orders.check`. Runs in a thread."""
    return await asyncio.to_thread(current().check, order_id)


async def explain(order_id: OrderId) -> Explanation:
    """Return what is known about an order and what will happen to it next; see `orders.explain`. Runs in a thread."""
    return await asyncio.to_thread(current().explain, order_id)


async def pause(
    seconds: float | timedelta | None = None,
    *,
    until: datetime | None = None,
    reason: str | None = None,
    by: str | None = None,
) -> Pause:
    """Let nothing expire for some time; see `orders.pause`. Runs in a thread."""
    return await asyncio.to_thread(pauses.pause, seconds, until=until, reason=reason, by=by)


async def resume(*, extend: bool = False) -> Pause | None:
    """End the pause; see `orders.resume`. Runs in a thread."""
    return await asyncio.to_thread(pauses.resume, extend=extend)


async def paused() -> Pause | None:
    """Return the pause; see `orders.paused`. Runs in a thread."""
    return await asyncio.to_thread(pauses.paused)


async def drain() -> None:
    """Wait until the schedule is updated after all commits on this event loop, or Redis has failed. For tests."""
    for queue in _of_loop(asyncio.get_running_loop()).values():
        await queue.drain()


async def close() -> None:
    """Send pending updates to Redis and close the connections of this event loop; the next call opens new ones."""
    loop = asyncio.get_running_loop()
    for key, queue in _of_loop(loop).items():
        with _changing:
            _loops.pop(key, None)
        await queue.close()


async def _put(expiry: OrderExpiry, entries: Sequence[tuple[str, datetime]], session: AsyncJoined | None) -> None:
    queue, due_at = await _queue(expiry), expiry.due_at(entries)
    if session is None:
        await queue.schedule.enqueue(due_at)
    elif not await _waits(session, partial(queue.enqueue, due_at)):
        with expiry.outages.forgiven([order_id for order_id, _ in entries]):
            await queue.schedule.enqueue(due_at)


async def _reschedule(expiry: OrderExpiry, order_id: str, deadline: datetime, session: AsyncJoined) -> None:
    queue = await _queue(expiry)
    await _follow(session, partial(queue.enqueue, expiry.due_at([(order_id, deadline)])))


async def _follow(session: AsyncJoined, call: Callable[[], None]) -> None:
    """Call something once the session's transaction is committed, or at once if none is open."""
    if not await _waits(session, call):
        call()


async def _waits(session: AsyncJoined, call: Callable[[], None]) -> bool:
    """Call something after the commit; return False if there is none to wait for."""
    connection = await _run_sync(session, awaited)
    if connection is None:
        return False
    after_commit(connection, call)
    return True


def _run_sync(session: AsyncJoined, call: Callable[[Any], T]) -> Awaitable[T]:
    """Call *call* with the synchronous session or connection inside an asynchronous one."""
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_scoped_session  # noqa: PLC0415 - greenlet

    joined = session() if isinstance(session, async_scoped_session) else session
    if not isinstance(joined, AsyncSession | AsyncConnection):
        raise TypeError(
            f"session={session!r}: it must be an SQLAlchemy AsyncSession, async_scoped_session or AsyncConnection; "
            "with a synchronous session, call the function of the same name in `orders`"
        )
    return joined.run_sync(call)


async def _queue(expiry: OrderExpiry) -> CommitQueue:
    """Return the queue of this event loop. Event loops must not share connections."""
    key = loop, _ = asyncio.get_running_loop(), expiry
    if key in _loops and _loops[key].is_open:
        return _loops[key]
    queue = CommitQueue(AsyncSchedule.connect(expiry.settings), expiry.outages, loop)
    with _changing:
        for other in [other for other in _loops if other[0].is_closed()]:
            del _loops[other]
        _loops[key] = queue
    await queue.open()
    return queue


def _of_loop(loop: asyncio.AbstractEventLoop) -> dict[tuple[asyncio.AbstractEventLoop, OrderExpiry], CommitQueue]:
    with _changing:
        return {key: queue for key, queue in _loops.items() if key[0] is loop}
