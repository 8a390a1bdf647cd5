"""The errors of this package.

::

    OrdersError
    ├── ConfigError            a setting is wrong, or what it names is not installed
    ├── InvalidOrderId         also a ValueError; nothing was written
    ├── InvalidDeadline        also a ValueError; nothing was written
    ├── InvalidMessage         also a ValueError; a worker was sent what no sweep sends, and did nothing
    ├── ScheduleError          Redis answered with an error
    │   └── ScheduleUnavailable    Redis is unreachable, or did not answer in time
    ├── StoreError             the database answered with an error
    │   ├── StoreUnavailable       it is unreachable, locked, read-only or asks to try again
    │   │   └── StoreConflict          a deadlock or a serialization failure; rolled back
    │   └── SchemaError            the table or a column is missing or of the wrong type
    ├── ExpiryFailed           some orders of a task could not be expired; they are tried again, or buried
    ├── DeliveryFailed         a handler refused some events; they are delivered again
    └── EmbeddedError          no server of our own could be started

A driver's error is kept as ``__cause__``. Every class can be pickled with its message alone, because Celery
carries exceptions from a pool process to its parent.
"""

from copy import copy
from typing import Self


class OrdersError(Exception):
    """The base of every error that this package raises on purpose."""

    def anew(self) -> Self:
        """Return the same error for another thread to raise: one that several raise grows by all their tracebacks."""
        again = copy(self)
        again.__cause__ = self.__cause__
        return again


class ConfigError(OrdersError):
    """A setting is wrong. The message names the setting, its value and what is accepted."""


class InvalidOrderId(OrdersError, ValueError):
    """This cannot be the id of an order."""


class InvalidDeadline(OrdersError, ValueError):
    """This cannot be a deadline: not a time, or a naive one."""


class InvalidMessage(OrdersError, ValueError):
    """A worker was sent what no sweep sends. Nothing was done."""


class ScheduleError(OrdersError):
    """Redis refused a command on the schedule."""


class ScheduleUnavailable(ScheduleError):
    """Redis is unreachable or did not answer within the time-out. Safe to try again."""


class StoreError(OrdersError):
    """The database refused a statement."""


class StoreUnavailable(StoreError):
    """The database cannot do it now: unreachable, locked, read-only, deadlock. Safe to try again."""


class StoreConflict(StoreUnavailable):
    """A deadlock, or two transactions that exclude each other; this one was rolled back. Try it again at once."""


class SchemaError(StoreError):
    """The orders table, or a column of it, is missing or of a type that cannot serve."""


class ExpiryFailed(OrdersError):
    """Some orders of a task could not be expired. They are scheduled for another attempt, or buried."""


class DeliveryFailed(OrdersError):
    """A handler refused some events. They, and the later ones of their orders, are delivered again."""


class EmbeddedError(OrdersError):
    """A server for development and tests could not be found or started."""
