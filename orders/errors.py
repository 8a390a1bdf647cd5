"""The errors of this package.

::

    OrdersError
    ├── ConfigError            a setting is invalid, or names something that is not installed
    │   └── WrongDatabase          the schedule in Redis belongs to the orders of another database
    ├── InvalidOrderId         also a ValueError; nothing was written
    ├── InvalidReference       also a ValueError; nothing was written
    ├── InvalidDeadline        also a ValueError; nothing was written
    ├── InvalidMessage         also a ValueError; a worker rejected a message that no sweep sends
    ├── ScheduleError          Redis answered with an error
    │   └── ScheduleUnavailable    Redis is unreachable, or did not answer in time
    ├── StoreError             the database answered with an error
    │   ├── StoreUnavailable       unreachable, locked, read-only, or a conflict
    │   │   └── StoreConflict          a deadlock or a serialization failure; rolled back
    │   └── SchemaError            the table or a column is missing or of the wrong type
    ├── ExpiryFailed           some orders of a task could not be expired; they are rescheduled or buried
    ├── DeliveryFailed         a handler failed on some events; they are delivered again
    └── EmbeddedError          no embedded server could be started

A driver's error is kept as ``__cause__``. Every class can be pickled with only its message, because Celery passes
exceptions from a pool process to its parent.
"""

from copy import copy
from typing import Self


class OrdersError(Exception):
    """The base class of all errors that this package raises."""

    def anew(self) -> Self:
        """Return a copy for another thread to raise, because each thread that raises an error adds to its traceback."""
        again = copy(self)
        again.__cause__ = self.__cause__
        return again


class ConfigError(OrdersError):
    """A setting is invalid. The message names the setting, its value and what is accepted."""


class WrongDatabase(ConfigError):
    """The schedule in Redis belongs to the orders of another database, whose ids have no rows here."""


class InvalidOrderId(OrdersError, ValueError):
    """Not a valid order id."""


class InvalidReference(OrdersError, ValueError):
    """Not a valid reference of a payment."""


class InvalidDeadline(OrdersError, ValueError):
    """Not a valid deadline: not a datetime, a naive datetime, or a negative timeout."""


class InvalidMessage(OrdersError, ValueError):
    """A worker rejected a message that no sweep sends. Nothing was done."""


class ScheduleError(OrdersError):
    """Redis answered a command on the schedule with an error."""


class ScheduleUnavailable(ScheduleError):
    """Redis is unreachable or did not answer within the timeout. It is safe to try again."""


class StoreError(OrdersError):
    """The database answered a statement with an error."""


class StoreUnavailable(StoreError):
    """The database is unreachable, locked or read-only, or there was a conflict. It is safe to try again."""


class StoreConflict(StoreUnavailable):
    """A deadlock or a serialization failure; the transaction was rolled back. Try it again at once."""


class SchemaError(StoreError):
    """The orders table or one of its columns is missing, or has an unsupported type."""


class ExpiryFailed(OrdersError):
    """Some orders of a task could not be expired. They are rescheduled for another attempt, or buried."""


class DeliveryFailed(OrdersError):
    """A handler failed on some events. They, and later events of the same orders, are delivered again."""


class EmbeddedError(OrdersError):
    """A server for development and tests could not be found or started."""
