"""Close every order that is not paid by its deadline: exactly once, and never an order that was paid.

An application schedules its orders with `enqueue`, and the Celery workers of the `tasks` package close them. This
package needs only Redis and a database: it imports neither Celery nor `tasks`.
"""

from orders import names as _names  # noqa: F401 - first: it raises if the other name is in use

# isort: split

from orders import aio
from orders.api import (
    cancel,
    check,
    deadline,
    enqueue,
    enqueue_many,
    explain,
    extend,
    extend_many,
    hold,
    pay,
    remove,
)
from orders.config import Settings
from orders.errors import (
    ConfigError,
    DeliveryFailed,
    EmbeddedError,
    ExpiryFailed,
    InvalidDeadline,
    InvalidOrderId,
    InvalidReference,
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
from orders.pauses import pause, paused, resume
from orders.process import (
    condition,
    configure,
    current,
    deadline_rule,
    guard,
    on_event,
    on_expire,
    on_late_payment,
)
from orders.store import Pause, Payment, PaymentVerdict, State

__all__ = [  # noqa: RUF022 - by topic
    # What an application calls
    "enqueue",
    "enqueue_many",
    "deadline",
    "extend",
    "extend_many",
    "hold",
    "pay",
    "cancel",
    "check",
    "remove",
    "explain",
    "pause",
    "resume",
    "paused",
    "aio",
    # What these functions return
    "Pause",
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
    "condition",
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
    "InvalidReference",
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
