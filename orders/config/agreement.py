"""Checks of settings that must agree with each other."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise


def apart(remind: Sequence[int], lookahead: float) -> None:
    """Check that a sweep can claim an order between two reminders, and between the last one and the deadline.

    Args:
        remind: the seconds before the deadline, the shortest first.
        lookahead: how long before its time a sweep claims an order, in seconds.

    Raises:
        ValueError: it would claim some too late.
    """
    if any(later - earlier < lookahead for earlier, later in pairwise((0, *remind))):
        raise ValueError(
            f"ORDERS_REMIND is {', '.join(map(str, remind))} (seconds): each must be at least ORDERS_LOOKAHEAD, which "
            f"is {lookahead:g} (by default 1.1 times ORDERS_SWEEP_INTERVAL), and so must be the time between two"
        )


def distinct(**settings: str) -> None:
    """Check that settings have different values.

    Raises:
        ValueError: some are equal.
    """
    if len(set(settings.values())) < len(settings):
        listed = ", ".join(f"ORDERS_{name.upper()} is {value!r}" for name, value in settings.items())
        raise ValueError(f"{listed}: they must be three different values")
