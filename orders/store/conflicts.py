"""Run a transaction again after a deadlock or a serialization failure."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from orders.errors import StoreConflict
from orders.logs import about

T = TypeVar("T")

logger = logging.getLogger(__name__)

TIMES = 3
"""How often a transaction is run at most."""

BACKOFF = 0.05
"""The longest pause between two runs, in seconds."""


def without_conflict(
    call: Callable[[], T],
    *,
    sleep: Callable[[float], None],
    jitter: Callable[[], float],
    kind: type[StoreConflict] = StoreConflict,
) -> T:
    """Return what *call* returns; call it again after a conflict.

    Args:
        call: runs one transaction.
        sleep: waits for seconds.
        jitter: returns a number from 0 to 1.
        kind: which conflicts.

    Raises:
        StoreConflict: there was a conflict each time.
    """
    for _ in range(TIMES - 1):
        try:
            return call()
        except kind as conflict:
            fields = about("conflict", error=str(conflict))
            logger.info("retrying a transaction after a conflict: %s", conflict, extra=fields)
            sleep(BACKOFF * jitter())
    return call()
