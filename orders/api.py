"""The functions that an application calls: those of `orders.expiry.OrderExpiry`, on one instance per process."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from orders.config import Settings
from orders.expiry import OrderExpiry
from orders.explanation import Explanation
from orders.ids import OrderId

_current: OrderExpiry | None = None


def configure(settings: Settings | None = None) -> OrderExpiry:
    """Use these settings, by default the environment's, from now on in this process; return what uses them.

    Raises:
        ConfigError: the environment holds a wrong setting.
    """
    global _current  # noqa: PLW0603 - one instance per process is the purpose of this module
    _current = OrderExpiry.connect(settings)
    return _current


def current() -> OrderExpiry:
    """Return what the functions of this module use; made from the environment at the first call."""
    return _current or configure()


def enqueue(
    order_id: OrderId, *, expires_at: datetime | None = None, timeout: float | timedelta | None = None
) -> datetime:
    """Schedule an order's expiry. Call it after the transaction that placed the order has been committed.

    Of an order that is scheduled already, this replaces the deadline. The row is left alone: it must hold the same
    deadline, because in the end the row decides.

    Args:
        order_id: the order's id: text of 1 to 255 characters, an integer or a UUID.
        expires_at: its deadline, an aware datetime. One in the past is due at once.
        timeout: instead, seconds (or a timedelta) from now. Without either, ``ORDERS_TIMEOUT``.

    Returns:
        The deadline, in UTC.

    Raises:
        InvalidOrderId: the id is none.
        InvalidDeadline: the deadline is no time, or naive, or the timeout is negative.
        ScheduleUnavailable: Redis is unreachable or did not answer in time.
    """
    return current().enqueue(order_id, expires_at=expires_at, timeout=timeout)


def enqueue_many(pairs: Iterable[tuple[OrderId, datetime | None]]) -> int:
    """Schedule many orders, in one round trip per 1,000.

    Args:
        pairs: ids with their deadlines, as in `enqueue`; None for ``ORDERS_TIMEOUT`` from now.

    Returns:
        How many there were.

    Raises:
        InvalidOrderId: one of the ids is none; nothing was scheduled.
        InvalidDeadline: one of the deadlines is none; nothing was scheduled.
        ScheduleUnavailable: Redis failed; some may be scheduled, and calling again with the same pairs is safe.
    """
    return current().enqueue_many(pairs)


def extend(order_id: OrderId, *, expires_at: datetime | None = None, timeout: float | timedelta | None = None) -> bool:
    """Give a pending order another deadline: in its row, in a transaction of its own, and then in the schedule.

    Args:
        order_id: the order's id.
        expires_at: the new deadline, an aware datetime.
        timeout: instead, seconds (or a timedelta) from now. Without either, ``ORDERS_TIMEOUT``.

    Returns:
        Whether the order was pending. If not, nothing has changed.

    Raises:
        InvalidOrderId: the id is none, or the id column cannot hold it.
        InvalidDeadline: the deadline is no time, or naive, or the timeout is negative.
        StoreError: the database failed; nothing has changed.
        ScheduleUnavailable: Redis failed after the row was changed: the schedule finds the new deadline by itself.
    """
    return current().extend(order_id, expires_at=expires_at, timeout=timeout)


def remove(order_id: OrderId) -> bool:
    """Take an order out of the schedule: it was paid, cancelled or deleted.

    Not needed for correctness, since the row decides; it saves the workers a look.

    Args:
        order_id: the order's id.

    Returns:
        Whether it was scheduled.

    Raises:
        InvalidOrderId: the id is none.
        ScheduleUnavailable: Redis is unreachable or did not answer in time.
    """
    return current().remove(order_id)


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
