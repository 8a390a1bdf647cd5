"""What Redis could not be told after a commit: what has been committed stands, so it is logged and counted."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from orders import ids
from orders.errors import ScheduleError
from orders.logs import about

NAMED = 10
"""Orders that one line of the log names."""

NOT_SCHEDULED = "not told to Redis, so it waits until reconciling finds it overdue: order %s (%s)"
"""What the log says of an order whose deadline the schedule does not have."""

NOT_REMOVED = "the order %s stays in the schedule until its deadline: %s"
"""What it says of one that the schedule need not have any more."""

logger = logging.getLogger(__name__)


class Outages:
    """How often Redis failed after a commit. Safe to share by threads."""

    def __init__(self) -> None:
        self._counting = Lock()
        self._count = 0

    @property
    def count(self) -> int:
        """How many times there was something to tell, and Redis could not be told; since the process started."""
        return self._count

    @contextmanager
    def forgiven(self, members: Sequence[str], consequence: str = NOT_SCHEDULED) -> Iterator[None]:
        """Have a Redis that fails in here, to be told about orders, break nothing: log it, and count it.

        Args:
            members: the orders.
            consequence: what the log is to say: a format for the orders and the error.
        """
        try:
            yield
        except ScheduleError as error:
            with self._counting:
                self._count += 1
            more = ", …" if len(members) > NAMED else ""
            named = ", ".join(map(ids.printable, members[:NAMED])) + more
            logger.warning(consequence, named, error, extra=about("redis_not_told", members, error=str(error)))
