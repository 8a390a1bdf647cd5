"""The functions that an application calls: those of `orders.expiry.OrderExpiry`, on one instance per process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from orders.expiry import Explanation
from orders.ids import OrderId
from orders.process import current
from orders.store import Joined, Payment, State


def deadline(
    order_id: OrderId,
    *,
    expires_at: datetime | None = None,
    timeout: float | timedelta | None = None,
    context: Mapping[str, Any] | None = None,
) -> datetime:
    """Return the deadline that `enqueue` would schedule, for the order's row. Nothing is scheduled.

    Pass it to `enqueue` as *expires_at*, so that row and schedule agree.

    The arguments and errors are those of `enqueue`; Redis is not asked.
    """
    return current().deadline(order_id, expires_at=expires_at, timeout=timeout, context=context)


def enqueue(
    order_id: OrderId,
    *,
    expires_at: datetime | None = None,
    timeout: float | timedelta | None = None,
    context: Mapping[str, Any] | None = None,
    session: Joined | None = None,
) -> datetime:
    """Schedule an order's expiry, once the transaction that placed the order has been committed.

    Call it after the commit, or before with the *session* that is to be committed. Of an order that is scheduled
    already, this replaces the deadline. The row is left alone: it must hold the same deadline, because in the end the
    row decides.

    Args:
        order_id: the order's id: text of 1 to 255 characters, an integer or a UUID.
        expires_at: its deadline, an aware datetime. One in the past is due at once.
        timeout: instead, seconds (or a timedelta) from now. Without either, what the shop's ``@orders.deadline_rule``
            says, or ``ORDERS_TIMEOUT``.
        context: what that rule may want to know: channel, product, customer.
        session: an SQLAlchemy session or connection. Redis is told once its transaction has been committed, and never
            if that, or the savepoint that it is in, is rolled back; at once if no transaction is open. It is not
            flushed: do so before, if the database gives the id. A Redis that fails then is logged and counted
            (`orders.schedule.Outages`), and reconciling schedules the order.

    Returns:
        The deadline, in UTC.

    Raises:
        InvalidOrderId: the id is none.
        InvalidDeadline: the deadline is no time, or naive, or the timeout is negative.
        ScheduleUnavailable: there is no session, and Redis is unreachable or did not answer in time.
    """
    return current().enqueue(order_id, expires_at=expires_at, timeout=timeout, context=context, session=session)


def enqueue_many(pairs: Iterable[tuple[OrderId, datetime | None]], *, session: Joined | None = None) -> int:
    """Schedule many orders, in one round trip per 1,000.

    Args:
        pairs: ids with their deadlines, as in `enqueue`; None for what the shop's rule says (without a context), or
            ``ORDERS_TIMEOUT`` from now.
        session: an SQLAlchemy session or connection whose commit to wait for; see `enqueue`.

    Returns:
        How many there were.

    Raises:
        InvalidOrderId: one of the ids is none; nothing was scheduled.
        InvalidDeadline: one of the deadlines is none; nothing was scheduled.
        ScheduleUnavailable: there is no session, and Redis failed; some may be scheduled, and calling again with the
            same pairs is safe.
    """
    return current().enqueue_many(pairs, session=session)


def extend(
    order_id: OrderId,
    *,
    expires_at: datetime | None = None,
    timeout: float | timedelta | None = None,
    context: Mapping[str, Any] | None = None,
    session: Joined | None = None,
) -> bool:
    """Give a pending order another deadline: in its row, and once that is committed, in the schedule.

    Args:
        order_id: the order's id.
        expires_at: the new deadline, an aware datetime.
        timeout: instead, seconds (or a timedelta) from now. Without either, as in `enqueue`.
        context: what the shop's ``@orders.deadline_rule`` may want to know.
        session: an SQLAlchemy session or connection, in whose transaction it is to happen; see `pay`.

    Returns:
        Whether the order was pending. If not, nothing has changed.

    Raises:
        InvalidOrderId: the id is none, or the id column cannot hold it.
        InvalidDeadline: the deadline is no time, or naive, or the timeout is negative.
        StoreConflict: a deadlock in the caller's transaction (in one of its own, it is tried again).
        StoreError: the database failed; nothing has changed.
        ScheduleUnavailable: Redis failed after the row was changed (in a transaction of its own): the schedule finds
            the new deadline by itself.
    """
    return current().extend(order_id, expires_at=expires_at, timeout=timeout, context=context, session=session)


def pay(order_id: OrderId, *, reference: str | None = None, session: Joined | None = None) -> Payment:
    """Mark an order as paid if it is pending: by one conditional update, which a payment callback may repeat.

    A payment that comes after the deadline, while the order has not been expired yet, is accepted; with
    ``ORDERS_STRICT`` it is too late, and the order is expired there and then. If the verdict asks for the money to go
    back, `Payment.refund_key` is a key for that, the same however often the callback comes, and an event tells of it.

    Args:
        order_id: the order's id.
        reference: the gateway's own id of the payment. With it, a customer who pays twice is told from a callback
            that comes twice. Needs the table of events.
        session: an SQLAlchemy session or connection, in whose transaction it is to happen. The schedule is told
            once that has been committed. Without one, it is a transaction of its own.

    Returns:
        The verdict, one of ACCEPTED, DUPLICATE, TOO_LATE, CLOSED or NOT_FOUND.

    Raises:
        InvalidOrderId: the id is none, or the id column cannot hold it.
        StoreConflict: a deadlock in the caller's transaction (in one of its own, it is tried again).
        StoreError: the database failed; nothing has changed.
        Exception: what a hook of the shop raised; nothing has changed.
    """
    return current().pay(order_id, reference=reference, session=session)


def check(order_id: OrderId) -> State:
    """Expire an order here and now if it is overdue, so that nobody sees or pays it before the next sweep.

    Takes one read if the order is not overdue. If it is, the shop's guard is asked first, if there is one. Call it
    before your own transaction locks the order's row, not within.

    Args:
        order_id: the order's id.

    Returns:
        What the order is now. OVERDUE if the guard cannot tell whether it was paid.

    Raises:
        InvalidOrderId: the id is none, or the id column cannot hold it.
        StoreError: the database failed; nothing has changed.
        Exception: what a hook of the shop raised; nothing has changed.
    """
    return current().check(order_id)


def remove(order_id: OrderId, *, session: Joined | None = None) -> bool:
    """Take an order out of the schedule: it was paid, cancelled or deleted.

    Not needed for correctness, since the row decides; it saves the workers a look.

    Args:
        order_id: the order's id.
        session: an SQLAlchemy session or connection whose commit to wait for; see `enqueue`.

    Returns:
        Whether it was scheduled. False if that is not known, with a session whose commit is still to come, or with
        which Redis failed.

    Raises:
        InvalidOrderId: the id is none.
        ScheduleUnavailable: there is no session, and Redis is unreachable or did not answer in time.
    """
    return current().remove(order_id, session=session)


def explain(order_id: OrderId) -> Explanation:
    """Tell what is known about an order, and what will happen to it next.

    Args:
        order_id: the order's id.

    Raises:
        InvalidOrderId: the id is none.
        StoreError: the database failed.
        ScheduleUnavailable: Redis is unreachable or did not answer in time.
    """
    return current().explain(order_id)
