"""The forecast: how many pending orders will expire when, counted in the database by their deadlines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from orders.expiry import OrderExpiry

WIDTHS = tuple(
    timedelta(minutes=minutes)
    for minutes in (1, 5, 10, 15, 30, 60, 120, 180, 360, 720, *(days * 24 * 60 for days in (1, 2, 7, 14, 28)))
)
"""The possible widths of bars."""

BARS = 24
"""The most bars of full width. With the two at the ends, which may be narrower, there is at most one more."""

MAX_HOURS = 366 * 24
"""How far ahead a forecast may look: a year."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A span of time, and how many orders are due in it. Times are in UTC."""

    start: datetime
    end: datetime
    expiring: int
    """Pending orders that are due in this span and may expire."""
    kept: int
    """Those that are due in this span too, but that the shop's condition keeps, as it is now."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """How many pending orders will expire when, unless they are paid, cancelled or extended before."""

    now: datetime
    """The time of the forecast, in UTC, by the clock that decides what is due."""
    overdue: int
    """Orders that are due already and may expire."""
    overdue_kept: int
    """Orders that are due already, but kept by the shop's condition."""
    bars: Sequence[Bar]
    """One for each span from now on, in order, without gaps."""

    @property
    def expiring(self) -> int:
        """How many orders will expire, with those that are overdue."""
        return self.overdue + sum(bar.expiring for bar in self.bars)

    @property
    def kept(self) -> int:
        """How many orders are kept, with those that are overdue."""
        return self.overdue_kept + sum(bar.kept for bar in self.bars)

    def as_json(self) -> dict[str, Any]:
        """Return it as a dict for JSON, with times in ISO 8601."""
        bars = [{**asdict(bar), "start": bar.start.isoformat(), "end": bar.end.isoformat()} for bar in self.bars]
        overdue = {"overdue": self.overdue, "overdue_kept": self.overdue_kept}
        return {"now": self.now.isoformat(), **overdue, "expiring": self.expiring, "kept": self.kept, "bars": bars}


def forecast_orders(expiry: OrderExpiry, *, hours: float = 24) -> Forecast:
    """Return how many pending orders will expire when. The database counts them; no row is read.

    Args:
        expiry: the use cases, as `orders.current` returns them.
        hours: how far ahead to look, more than 0, at most 8784 (a year).

    Raises:
        ValueError: *hours* is not such a number.
        StoreError: the database failed.
    """
    if isinstance(hours, bool) or not isinstance(hours, int | float) or not 0 < hours <= MAX_HOURS:
        raise ValueError(f"hours is {hours!r}: it must be a number above 0, at most {MAX_HOURS}")
    now = expiry.store.now()
    ends = _ends(now, timedelta(hours=hours))
    overdue, *expected = expiry.store.expected(ends)
    spans = zip(pairwise(ends), expected, strict=True)
    return Forecast(
        now, overdue.expiring, overdue.kept, [Bar(*span, found.expiring, found.kept) for span, found in spans]
    )


def _ends(now: datetime, ahead: timedelta) -> list[datetime]:
    """Return *now*, the round times that follow, and the end."""
    width = next((width for width in WIDTHS if ahead <= BARS * width), WIDTHS[-1])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    ends, following = [now], epoch + ((now - epoch) // width + 1) * width
    while following < now + ahead:
        ends.append(following)
        following += width
    return [*ends, now + ahead]
