"""Trying a transaction again that the database rolled back in favour of another."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from orders.errors import StoreConflict
from orders.logs import about

T = TypeVar("T")

logger = logging.getLogger(__name__)

TIMES = 3
"""How many times it is tried."""

BACKOFF = 0.05
"""The most seconds between two tries."""


def without_conflict(call: Callable[[], T], *, sleep: Callable[[float], None], jitter: Callable[[], float]) -> T:
    """Return what *call* returns; call it again after a deadlock or a serialization failure.

    Args:
        call: one transaction.
        sleep: waits for seconds.
        jitter: returns a number from 0 to 1.

    Raises:
        StoreConflict: it failed like that each time.
    """
    for _ in range(TIMES - 1):
        try:
            return call()
        except StoreConflict as conflict:
            logger.info("once more: %s", conflict, extra=about("conflict", error=str(conflict)))
            sleep(BACKOFF * jitter())
    return call()
