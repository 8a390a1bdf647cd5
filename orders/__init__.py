"""Close every order that is not paid by its deadline: exactly once, and never one that was paid.

An application schedules its orders with `enqueue`; the workers of the `tasks` package close them. This package
needs Redis and a database only: it imports neither Celery nor `tasks`.
"""

from orders.api import configure, current, enqueue, enqueue_many, explain, extend, remove
from orders.config import Settings
from orders.errors import (
    ConfigError,
    EmbeddedError,
    ExpiryFailed,
    InvalidDeadline,
    InvalidOrderId,
    OrdersError,
    ScheduleError,
    ScheduleUnavailable,
    SchemaError,
    StoreError,
    StoreUnavailable,
)
from orders.expiry import OrderExpiry
from orders.explanation import Explanation

__all__ = [  # noqa: RUF022 - by topic
    # What an application calls
    "enqueue",
    "enqueue_many",
    "extend",
    "remove",
    "explain",
    # Settings, and instances of one's own
    "Settings",
    "configure",
    "current",
    "OrderExpiry",
    "Explanation",
    # Errors
    "OrdersError",
    "ConfigError",
    "InvalidOrderId",
    "InvalidDeadline",
    "ScheduleError",
    "ScheduleUnavailable",
    "StoreError",
    "StoreUnavailable",
    "SchemaError",
    "ExpiryFailed",
    "EmbeddedError",
]
