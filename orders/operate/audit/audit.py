"""`audit_orders`, and what it returns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from orders.expiry import OrderExpiry
from orders.operate.audit.expiries import Expiries
from orders.operate.audit.lateness import Lateness
from orders.operate.audit.waiting import Waiting
from orders.operate.audit.wrongs import Tally, Wrong

if TYPE_CHECKING:
    from orders.config import Settings

DAY = 86400.0

MAX_SECONDS = 366 * DAY
"""The longest period: a year."""

KEPT = 0.99
"""The part of ``ORDERS_EVENTS_RETENTION`` for which no event is deleted while an audit runs."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What an audit has read, and what is wrong."""

    since: datetime
    """The start of the period whose expiries were examined, in UTC."""
    until: datetime
    """Its end, in UTC."""
    expired: int
    """Orders that expired in the period."""
    due: int
    """Orders that are pending and due."""
    scheduled: int
    """Orders in the schedule."""
    dead: int
    """Dead letters."""
    lateness: Lateness | None
    """How late orders were expired; None if there was none, or if there is no events table."""
    slo: float | None
    """``ORDERS_SLO``, in seconds."""
    wrongs: Sequence[Wrong]
    """What is wrong; none if all is right."""
    unproved: Sequence[str]
    """What could not be proved, and why, in sentences."""

    @property
    def is_right(self) -> bool:
        """Whether nothing wrong was found."""
        return not self.wrongs

    def as_json(self) -> dict[str, Any]:
        """Return it as a dict for JSON, with times in ISO 8601."""
        times = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return {"is_right": self.is_right, **asdict(self), **times}


def audit_orders(expiry: OrderExpiry, *, since: float | timedelta = DAY) -> Audit:
    """Prove from rows, events and the schedule that every order ended as it should. Changes no order.

    It examines all orders that expired in the period, all that are pending and due, all that are scheduled, and all
    dead letters, in pages. Memory does not grow with their number.

    Args:
        expiry: the use cases, as `orders.current` returns them.
        since: the length of the period that ends now, in seconds or as a timedelta, more than 0, at most a year.

    Raises:
        ValueError: *since* is not such a time.
        WrongDatabase: the schedule belongs to another database.
        StoreError: the database failed.
        ScheduleError: Redis failed.
    """
    seconds = since.total_seconds() if isinstance(since, timedelta) else since
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds <= MAX_SECONDS:
        raise ValueError(f"since is {since!r}: it must be a number of seconds or a timedelta above 0, at most a year")
    expiry.ownership.check()
    store, settings, tally, now = expiry.store, expiry.settings, Tally(), expiry.store.now()
    has_events = store.has_events()
    provable = min(seconds, KEPT * settings.events_retention) if has_events else seconds
    start = now - timedelta(seconds=provable)
    expiries = Expiries(store, settings, tally, (start, now), has_events=has_events)
    expiries.examine()
    waiting = Waiting(expiry.schedule, store, settings, tally, now)
    waiting.examine()
    return Audit(
        since=start,
        until=now,
        expired=expiries.number,
        due=waiting.due,
        scheduled=waiting.scheduled,
        dead=waiting.dead,
        lateness=expiries.histogram.lateness(),
        slo=settings.slo,
        wrongs=tally.wrongs(),
        unproved=list(_unproved(settings, has_events=has_events, is_shorter=provable < seconds)),
    )


def _unproved(settings: Settings, *, has_events: bool, is_shorter: bool) -> Sequence[str]:
    """Return what cannot be proved, and why."""
    return [
        reason
        for reason, holds in {
            "Without an events table (`orders init-db`), only rows tell what happened: whether an order expired twice, "
            "early, late or although it was paid is not known.": not has_events,
            "The period is shorter than asked for: older events are deleted (ORDERS_EVENTS_RETENTION).": is_shorter,
            "How late is too late is not known: ORDERS_SLO is not set.": settings.slo is None,
        }.items()
        if holds
    ]
