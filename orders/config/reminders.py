"""Reminders (``ORDERS_REMIND``): how long before its deadline an order is looked at, and when next.

The score of an order says when to look at it. Without reminders that is when it is due. With them it is the first
reminder that is still to come and, after the last one, when the order is due. So there is one schedule for both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from orders.config.durations import parse_duration

LIMIT = 16
"""The most reminders for one deadline."""

_YEAR = 366 * 86400.0


class Reminders(NamedTuple):
    """When to look at orders, in seconds."""

    before: Sequence[int]
    """How long before the deadline to remind, the shortest first."""
    grace: float
    """How long after the deadline an order is due (``ORDERS_GRACE``)."""

    def passed(self, wait: float, *, ahead: float = 0.0) -> int | None:
        """Return the last reminder whose time has come, as the seconds before the deadline; None if there is none.

        After the deadline there is none: nobody is reminded of what is over.

        Args:
            wait: the seconds until the order is due.
            ahead: reminders that are at most so many seconds ahead count as well.
        """
        left = wait - self.grace
        return next((before for before in self.before if left <= before + ahead), None) if left > 0 else None

    def next_look(self, due_at: float, wait: float) -> float:
        """Return when to look at an order next: at its next reminder, or when it is due.

        Args:
            due_at: when the order is due, in Unix seconds.
            wait: the seconds until then; negative if it is overdue.
        """
        left = wait - self.grace
        following = next((before for before in reversed(self.before) if before < left), None)
        return due_at if following is None else due_at - self.grace - following

    def missed_look(self, due_at: float, wait: float) -> float:
        """Return when to look at an order that nobody has looked at since its last reminder: that is in the past.

        If no reminder has passed, it is `next_look`.
        """
        before = self.passed(wait)
        return self.next_look(due_at, wait) if before is None else due_at - self.grace - before


def parse_reminders(given: object) -> tuple[int, ...]:
    """Return the reminders of ``ORDERS_REMIND`` in seconds, the shortest first.

    Args:
        given: text such as ``10m,1m``; or a text, a number of seconds or a timedelta, or several of them.

    Raises:
        ValueError: it is something else.
    """
    if isinstance(given, str):
        several: Iterable[object] = [part for part in given.split(",") if part.strip()]
    else:
        several = given if isinstance(given, list | tuple) else [given]
    found = sorted(map(_seconds, several))
    if len(found) > LIMIT or not all(0 < seconds <= _YEAR and seconds == round(seconds) for seconds in found):
        raise ValueError(f"{given!r} has more than {LIMIT} times, or one that is not from a second to a year")
    return tuple(map(round, found))


def _seconds(given: object) -> float:
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, int | float) and not isinstance(given, bool):
        return float(given)
    return parse_duration(str(given)).total_seconds()
