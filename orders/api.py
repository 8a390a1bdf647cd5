"""The functions that an application calls: methods of the one `orders.expiry.OrderExpiry` of the process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from orders.expiry import Explanation, extend_orders
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
    """Return the deadline that `enqueue` would schedule. Nothing is scheduled.

    Store it in the order's row and pass it to `enqueue` as *expires_at*, so that the row and the schedule agree.
    The arguments and errors are those of `enqueue`, but Redis is not called.
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
    """Schedule an order's expiry once the transaction that placed the order is committed.

    Call it after the commit, or before it with the *session* that will commit. If the order is already scheduled, its
    deadline is replaced. The row does not change: it must hold the same deadline, because in the end the row decides.

    Args:
        order_id: the order's id: text of 1 to 255 characters, an integer or a UUID.
        expires_at: the deadline, an aware datetime. If it has passed, the order is due at once.
        timeout: instead of a deadline, seconds (or a timedelta) from now. If both are omitted, the shop's
            ``@orders.deadline_rule`` gives the deadline, or else ``ORDERS_TIMEOUT``.
        context: what that rule needs to know, such as channel, product or customer.
        session: an SQLAlchemy session or connection. The order is scheduled after its transaction is committed, and
            not at all if the transaction or the current savepoint is rolled back. If no transaction is open, it is
            scheduled at once. The session is not flushed: flush it first if the database assigns the id. If Redis
            fails after the commit, the error is logged and counted (`orders.schedule.Outages`), and reconcile
            schedules the order.

    Returns:
        The deadline, in UTC.

    Raises:
        InvalidOrderId: not a valid order id.
        InvalidDeadline: the deadline is not a datetime or is naive, or the timeout is negative.
        ScheduleUnavailable: *session* is None, and Redis is unreachable or did not answer in time.
        TypeError: *context* is not a mapping, or *session* is something else.
    """
    return current().enqueue(order_id, expires_at=expires_at, timeout=timeout, context=context, session=session)


def enqueue_many(pairs: Iterable[tuple[OrderId, datetime | None]], *, session: Joined | None = None) -> int:
    """Schedule many orders, in one round trip per 1,000.

    Args:
        pairs: ids with their deadlines, as in `enqueue`. If a deadline is None, the shop's rule gives it (without a
            context), or else ``ORDERS_TIMEOUT``.
        session: an SQLAlchemy session or connection whose commit to wait for; see `enqueue`.

    Returns:
        The number of orders.

    Raises:
        TypeError: *pairs* are not pairs; nothing was scheduled.
        InvalidOrderId: one of the ids is not valid; nothing was scheduled.
        InvalidDeadline: one of the deadlines is not valid; nothing was scheduled.
        ScheduleUnavailable: *session* is None, and Redis failed. Some orders may be scheduled; it is safe to call
            again with the same pairs.
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
    """Give a pending order a new deadline: in its row and, after the commit, in the schedule.

    Args:
        order_id: the order's id.
        expires_at: the new deadline, an aware datetime.
        timeout: instead of a deadline, seconds (or a timedelta) from now. If both are omitted, as in `enqueue`.
        context: what the shop's ``@orders.deadline_rule`` needs to know.
        session: an SQLAlchemy session or connection whose transaction to use; see `pay`.

    Returns:
        Whether the order was pending. If it was not, nothing has changed.

    Raises:
        InvalidOrderId: not a valid order id, or the id column cannot hold it.
        InvalidDeadline: the deadline is not a datetime or is naive, or the timeout is negative.
        StoreConflict: a deadlock in the transaction of *session*. Without a session, it is tried again.
        StoreError: the database failed; nothing has changed.
        ScheduleUnavailable: *session* is None, and Redis failed after the row was changed. A worker finds the new
            deadline in the row.
    """
    return current().extend(order_id, expires_at=expires_at, timeout=timeout, context=context, session=session)


def pay(order_id: OrderId, *, reference: str | None = None, session: Joined | None = None) -> Payment:
    """Mark an order as paid if it is pending, with one conditional update. A payment callback may repeat it safely.

    A payment after the deadline is accepted if the order has not been expired yet. With ``ORDERS_STRICT`` it is too
    late, and the order is expired at once. If the verdict requires a refund, `Payment.refund_key` is its idempotency
    key, the same for each repeated callback, and an event reports it.

    Args:
        order_id: the order's id.
        reference: the gateway's id of the payment, text of 1 to 255 characters. It distinguishes a customer who pays
            twice from a repeated callback, and is compared exactly. Needs the events table.
        session: an SQLAlchemy session or connection whose transaction to use. The schedule is updated after its
            commit. Without a session, this runs in its own transaction.

    Returns:
        The verdict, one of ACCEPTED, DUPLICATE, TOO_LATE, CLOSED or NOT_FOUND.

    Raises:
        InvalidOrderId: not a valid order id, or the id column cannot hold it.
        InvalidReference: not a valid reference.
        StoreConflict: a deadlock in the transaction of *session*. Without a session, it is tried again.
        StoreError: the database failed; nothing has changed.
        Exception: a hook of the shop raised it; nothing has changed.
    """
    return current().pay(order_id, reference=reference, session=session)


def extend_many(*, due_before: datetime, until: datetime | None = None, by: float | timedelta | None = None) -> int:
    """Give all pending orders that are due before some time a later deadline, such as when the gateway is down.

    Rows, events and schedule change in pages of 1,000, each in its own transaction. With *until*, it is safe to call
    again, whatever has stopped it. No deadline becomes earlier.

    Args:
        due_before: an aware datetime. Orders that are overdue and not expired yet are among them.
        until: the new deadline, an aware datetime.
        by: instead of it, a number of seconds or a timedelta: that much more, from the deadline or, if it has passed,
            from now. Calling again adds it again.

    Returns:
        How many orders were extended.

    Raises:
        InvalidDeadline: a time is not an aware datetime, *by* is not above 0, or both or none of them are given.
        StoreError: the database failed. The orders of earlier pages are extended: those with the latest deadlines.
        ScheduleUnavailable: Redis failed. The rows of the last page are changed all the same: at the old deadlines,
            workers find the new ones.
    """
    return extend_orders(current(), due_before=due_before, until=until, by=by)


def hold(order_id: OrderId, seconds: float | timedelta, *, session: Joined | None = None) -> bool:
    """Keep a pending order from expiring while a payment is in progress: a redirect, a 3-D Secure challenge.

    The deadline becomes at least *seconds* from now, in the row and, after the commit, in the schedule. It never
    becomes earlier, so holds may overlap, and each ends by itself.

    Args:
        order_id: the order's id.
        seconds: a number of seconds, or a timedelta.
        session: an SQLAlchemy session or connection whose transaction to use; see `pay`.

    Returns:
        Whether the order was pending. If it was not, nothing has changed: do not begin the payment.

    Raises:
        InvalidOrderId: not a valid order id, or the id column cannot hold it.
        InvalidDeadline: *seconds* is not a number or a timedelta, or negative.
        StoreConflict: a deadlock in the transaction of *session*. Without a session, it is tried again.
        StoreError: the database failed; nothing has changed.
        ScheduleUnavailable: Redis failed after the row was changed, and *session* is None. At the old deadline, a
            worker finds the new one in the row.
    """
    return current().hold(order_id, seconds, session=session)


def cancel(order_id: OrderId, *, reason: str = "cancelled", session: Joined | None = None) -> bool:
    """Cancel an order if it is pending, for a customer or for staff: the same kind of update as an expiry.

    The status becomes the first word of ``ORDERS_CANCELLED``. The hooks of ``@orders.on_expire`` run in the same
    transaction, and an event ``cancelled`` is recorded. Neither the guard nor the shop's condition is asked.

    Args:
        order_id: the order's id.
        reason: why, 1 to 255 characters, for the hooks and the event.
        session: an SQLAlchemy session or connection whose transaction to use; see `pay`.

    Returns:
        Whether the order was pending and is now cancelled. If not, nothing has changed.

    Raises:
        InvalidOrderId: not a valid order id, or the id column cannot hold it.
        ValueError: *reason* is not a text of 1 to 255 characters.
        SchemaError: ``ORDERS_CANCELLED`` has no word, or one that the status column cannot hold.
        StoreConflict: a deadlock in the transaction of *session*. Without a session, it is tried again.
        StoreError: the database failed; nothing has changed.
        Exception: a hook of the shop raised it; nothing has changed.
    """
    return current().cancel(order_id, reason=reason, session=session)


def check(order_id: OrderId) -> State:
    """Expire an order now if it is overdue, so that nobody sees or pays it before the next sweep.

    If the order is not overdue, this is a single read. If it is, the shop's guard, if any, is asked first. Call it
    before your own transaction locks the order's row, not inside that transaction.

    Args:
        order_id: the order's id.

    Returns:
        The order's state after the check. OVERDUE if the guard does not know whether the order was paid.

    Raises:
        InvalidOrderId: not a valid order id, or the id column cannot hold it.
        StoreError: the database failed; nothing has changed.
        Exception: a hook of the shop raised it; nothing has changed.
    """
    return current().check(order_id)


def remove(order_id: OrderId, *, session: Joined | None = None) -> bool:
    """Remove an order from the schedule because it was paid, cancelled or deleted.

    This is optional, because the row decides. It saves the workers a read.

    Args:
        order_id: the order's id.
        session: an SQLAlchemy session or connection whose commit to wait for; see `enqueue`.

    Returns:
        Whether the order was scheduled. With a session, also False if the commit is still to come or Redis failed.

    Raises:
        InvalidOrderId: not a valid order id.
        ScheduleUnavailable: *session* is None, and Redis is unreachable or did not answer in time.
    """
    return current().remove(order_id, session=session)


def explain(order_id: OrderId) -> Explanation:
    """Return what is known about an order and what will happen to it next.

    Args:
        order_id: the order's id.

    Raises:
        InvalidOrderId: not a valid order id.
        StoreError: the database failed.
        ScheduleUnavailable: Redis is unreachable or did not answer in time.
    """
    return current().explain(order_id)
