"""Close every order that is not paid by its deadline: exactly once, and never an order that was paid.

An application schedules its orders with `enqueue`, and the Celery workers of the `tasks` package close them. This
package needs only Redis and a database: it imports neither Celery nor `tasks`.
"""

from orders import aio
from orders.api import check, deadline, enqueue, enqueue_many, explain, extend, pay, remove
from orders.config import Settings
from orders.errors import (
    ConfigError,
    DeliveryFailed,
    EmbeddedError,
    ExpiryFailed,
    InvalidDeadline,
    InvalidOrderId,
    OrdersError,
    ScheduleError,
    ScheduleUnavailable,
    SchemaError,
    StoreConflict,
    StoreError,
    StoreUnavailable,
)
from orders.events import Event, EventKind
from orders.expiry import Explanation, OrderExpiry
from orders.hooks import Answer, Hooks
from orders.process import configure, current, deadline_rule, guard, on_event, on_expire, on_late_payment
from orders.store import Payment, PaymentVerdict, State

__all__ = [  # noqa: RUF022 - by topic
    # What an application calls
    "enqueue",
    "enqueue_many",
    "deadline",
    "extend",
    "pay",
    "check",
    "remove",
    "explain",
    "aio",
    # What these functions return
    "Payment",
    "PaymentVerdict",
    "State",
    "Explanation",
    # Hooks of the shop
    "on_expire",
    "on_late_payment",
    "guard",
    "Answer",
    "on_event",
    "Event",
    "EventKind",
    "deadline_rule",
    # Settings and instances
    "Settings",
    "configure",
    "current",
    "OrderExpiry",
    "Hooks",
    # Errors
    "OrdersError",
    "ConfigError",
    "InvalidOrderId",
    "InvalidDeadline",
    "ScheduleError",
    "ScheduleUnavailable",
    "StoreError",
    "StoreUnavailable",
    "StoreConflict",
    "SchemaError",
    "ExpiryFailed",
    "DeliveryFailed",
    "EmbeddedError",
]
