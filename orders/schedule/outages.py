"""Failures of Redis after a commit. The commit stands, so they are logged and counted, not raised."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from orders import ids
from orders.errors import ScheduleError
from orders.logs import about

NAMED = 10
"""The most orders that one log line names."""

NOT_SCHEDULED = "order %s could not be scheduled; reconcile picks it up once it is overdue: %s"
"""Log message if `enqueue` failed."""

NOT_REMOVED = "order %s could not be removed from the schedule; it stays there until its deadline: %s"
"""Log message if `remove` failed."""

logger = logging.getLogger(__name__)


class Outages:
    """Counts how often Redis failed after a commit. Threads may share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._count = 0

    @property
    def count(self) -> int:
        """Failures since the process started."""
        return self._count

    @contextmanager
    def forgiven(self, order_ids: Sequence[str], message: str = NOT_SCHEDULED) -> Iterator[None]:
        """Log and count a `ScheduleError` instead of raising it.

        Args:
            order_ids: the orders.
            message: the log message, a ``%`` format for the orders and the error.
        """
        try:
            yield
        except ScheduleError as error:
            with self._lock:
                self._count += 1
            more = ", …" if len(order_ids) > NAMED else ""
            named = ", ".join(map(ids.printable, order_ids[:NAMED])) + more
            logger.warning(message, named, error, extra=about("redis_not_told", order_ids, error=str(error)))
