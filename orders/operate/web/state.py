"""What a page shows: read from Redis and the database, and as much of it as can be read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from threading import Lock
from typing import Generic, TypeVar

from orders.config import Settings, mask
from orders.errors import OrdersError
from orders.expiry import BRAKE, OrderExpiry
from orders.operate import Forecast, Operations, Overview, Where, counted, endpoint_states, forecast_orders
from orders.operate.doctor import Examination, Patient, Severity, examine
from orders.store import Pause

T = TypeVar("T")

EXAMINED_FOR, FORECAST_FOR, COUNTED_FOR = 300.0, 60.0, 10.0
"""Seconds for which a result of the doctor, a forecast, and what the database counts are shown again."""

LATE = 60.0
"""Seconds since the first due order fell due, before the page says that orders expire late; or three sweeps."""


class Recent(Generic[T]):
    """A result that takes time to get, kept for a while. One thread gets it; others have the last one, or wait.

    Args:
        get: gets it.
        seconds: for how long it is kept.
    """

    def __init__(self, get: Callable[[], T], seconds: float) -> None:
        self._get = get
        self._seconds = seconds
        self._lock = Lock()
        self._got: tuple[T, float] | None = None

    def value(self, *, again: bool = False) -> T:
        """Return the result; get it if it is too old, or *again*."""
        asked, last = time.monotonic(), self._got
        if not self._lock.acquire(blocking=again or last is None) and last is not None:
            return last[0]
        try:
            if self._got is None or asked - self._got[1] > self._seconds or (again and self._got[1] < asked):
                self._got = self._get(), time.monotonic()
            return self._got[0]
        finally:
            self._lock.release()


@dataclass(frozen=True, slots=True)
class Verdict:
    """How expiry is, in a sentence."""

    tone: str
    """"good", "warn" or "bad"."""
    title: str
    advice: str = ""
    """What to do."""


@dataclass
class Glance:
    """The state at one time. What could not be read is None, and *problems* say why."""

    settings: Settings
    overview: Overview | None = None
    pause: Pause | None = None
    kept: int | None = None
    first_due: datetime | None = None
    """When the first of the due orders fell due."""
    problems: list[str] = field(default_factory=list)

    def read(self, get: Callable[[], T]) -> T | None:
        """Return what *get* returns; None, with a problem, if Redis or the database fails."""
        try:
            return get()
        except OrdersError as error:
            if (text := mask(str(error))) not in self.problems:
                self.problems.append(text)
            return None

    @cached_property
    def verdict(self) -> Verdict:
        """How expiry is: the worst of what is known."""
        overview, interval = self.overview, self.settings.sweep_interval
        if self.problems:
            return Verdict("bad", "Something cannot be reached", "; ".join(self.problems))
        if self.pause or (overview and overview.is_paused):
            return self._paused()
        if overview is None or overview.swept_ago is None:
            return Verdict("warn", "No sweep has run yet", "Start a worker and beat, as `orders up` does.")
        if overview.swept_ago > 3 * interval:
            silent = f"No sweep for {overview.swept_ago:,.0f} s, and one is due every {interval:g} s"
            return Verdict("bad", silent, "Is a worker running, and the broker up? The doctor says more.")
        late = (overview.now - self.first_due).total_seconds() if self.first_due else 0.0
        if late > max(LATE, 3 * interval):
            advice = "Workers are behind, or away. The doctor says more."
            return Verdict("bad", f"Orders expire late: the first one has been due for {late:,.0f} s", advice)
        if dead := overview.counts[Where.DEAD]:
            are = "needs" if dead == 1 else "need"
            return Verdict("warn", f"{counted(dead, 'dead letter')} {are} you", "Fix the cause, then requeue them.")
        return Verdict("good", "Orders expire on time")

    def _paused(self) -> Verdict:
        if self.pause and self.pause.by == BRAKE:
            return Verdict(
                "bad", "Braked: nothing expires", "Too many orders expired at once. Find out why, and resume."
            )
        return Verdict("warn", "Paused: nothing expires", "Payments go on. Resume when the reason is gone.")


class State:
    """What the pages show of one deployment.

    Args:
        expiry: returns the use cases.
    """

    def __init__(self, expiry: Callable[[], OrderExpiry]) -> None:
        self._expiry = expiry
        self.examination = Recent(self._examine, EXAMINED_FOR)
        self.forecast: Recent[Forecast] = Recent(lambda: forecast_orders(expiry()), FORECAST_FOR)
        self._kept = Recent(lambda: Operations(expiry()).count_kept(), COUNTED_FOR)
        self._troubles = Recent(self._troubles_of_webhooks, COUNTED_FOR)

    @property
    def expiry(self) -> OrderExpiry:
        """The use cases."""
        return self._expiry()

    @property
    def operations(self) -> Operations:
        """An operator's operations."""
        return Operations(self._expiry())

    def glance(self) -> Glance:
        """Return the state now, or what can be read of it."""
        glance = Glance(self.expiry.settings)
        operations = self.operations
        overview = glance.overview = glance.read(operations.overview)
        glance.kept = glance.read(self._kept.value)
        glance.pause = glance.read(operations.paused)
        if overview and overview.counts[Where.DUE]:
            page = glance.read(lambda: operations.page(Where.DUE, size=1, overview=overview))
            glance.first_due = page.items[0].at if page and page.items else None
        return glance

    def webhook_troubles(self) -> Sequence[str]:
        """Return what endpoints of webhooks need an operator for, as of some seconds ago."""
        return self._troubles.value() if self.expiry.settings.webhooks else ()

    def _troubles_of_webhooks(self) -> Sequence[str]:
        return [each.trouble for each in endpoint_states(self.expiry) if each.trouble]

    def _examine(self) -> tuple[Examination, datetime]:
        examination = examine(Patient(self.expiry), seconds=20)
        return examination, self.expiry.held_until(0)


def tone(severity: Severity) -> str:
    """Return the tone of a finding: "good", "warn", "bad" or "" for what could not be checked."""
    return {Severity.OK: "good", Severity.UNKNOWN: "", Severity.WARNING: "warn", Severity.ERROR: "bad"}[severity]
