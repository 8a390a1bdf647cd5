"""The orders that have expired in a period: once, not early, not although paid, with an event, and how late."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from orders.clock import local
from orders.events import Event, EventKind
from orders.operate.audit.lateness import Histogram
from orders.operate.audit.wrongs import Tally, WrongKind
from orders.store import Found, OrderStore, State

if TYPE_CHECKING:
    from orders.config import Settings

PAGE = 10_000
"""Rows or events that are read at a time."""

PAID = {EventKind.PAID, EventKind.REVIVED}
"""Events of accepted payments."""


class Expiries:
    """Reads the expired rows whose deadlines are in a period, and then the other orders with an expiry in it.

    Args:
        store: the store.
        settings: the settings.
        tally: counts what is wrong.
        period: its start and its end, by the clock that decides what is due.
        has_events: whether there is an events table.
    """

    def __init__(
        self,
        store: OrderStore,
        settings: Settings,
        tally: Tally,
        period: tuple[datetime, datetime],
        *,
        has_events: bool,
    ) -> None:
        self._store = store
        self._tally = tally
        self._since, self._until = period
        self._grace = timedelta(seconds=settings.grace)
        self._slo = settings.slo
        self._has_events = has_events
        self.histogram = Histogram()
        self.number = 0
        """How many orders were examined."""

    def examine(self) -> None:
        """Examine all of them."""
        for page in self._pages_of_rows():
            histories = self._store.histories([row.order_id for row in page]) if page else {}
            for row in page:
                self._judge(row.order_id, row, histories.get(row.order_id, ()))
        for expiries in self._pages_of_expiries():
            self._judge_others(expiries)

    def _judge_others(self, expiries: Mapping[int, str]) -> None:
        """Judge the orders of a page of expiries, by the ids of the events, that were not among the rows."""
        order_ids = list(dict.fromkeys(expiries.values()))
        judged = self._store.expired_among(order_ids, since=self._since)
        others = [order_id for order_id in order_ids if order_id not in judged]
        if not others:
            return
        rows, histories = self._store.rows(others), self._store.histories(others)
        for order_id in others:
            history = histories.get(order_id, ())
            last = max((event.id for event in history if event.kind is EventKind.EXPIRED), default=None)
            if last in expiries:  # otherwise another page has its last expiry
                self._judge(order_id, rows.get(order_id), history)

    def _judge(self, order_id: str, row: Found | None, history: Sequence[Event]) -> None:
        """Judge one order by its row and by its expiries and payments, oldest first."""
        self.number += 1
        expiries = [event for event in history if event.kind is EventKind.EXPIRED]
        is_expired = row is not None and row.state is State.EXPIRED
        if len(expiries) > 1:
            times = ", ".join(_shown(event.at) for event in expiries)
            self._tally.add(WrongKind.EXPIRED_TWICE, order_id, f"expired at {times}")
        if paid := _paid_before(history, is_expired=is_expired):
            detail = f"paid at {_shown(paid.at)}; the row is {row.state if row else State.MISSING}"
            self._tally.add(WrongKind.EXPIRED_ALTHOUGH_PAID, order_id, detail)
        if row is None or row.deadline is None or not is_expired:
            return
        if self._has_events and not expiries:
            detail = f"expired, due at {_shown(row.deadline + self._grace)}"
            self._tally.add(WrongKind.EVENT_MISSING, order_id, detail)
        self._judge_time(order_id, row.deadline + self._grace, expiries[-1].at if expiries else None)

    def _judge_time(self, order_id: str, due_at: datetime, expired_at: datetime | None) -> None:
        """Judge when an order expired; None if only its row says that it has."""
        late = ((expired_at or self._until) - due_at).total_seconds()
        if late < 0:
            when = f"expired at {_shown(expired_at)}" if expired_at else "expired"
            self._tally.add(WrongKind.EXPIRED_EARLY, order_id, f"{when}, due at {_shown(due_at)}")
        elif expired_at:
            self.histogram.add(late)
            if self._slo is not None and late > self._slo:
                self._tally.add(WrongKind.LATE, order_id, f"due at {_shown(due_at)}, expired {late:,.1f} s later")

    def _pages_of_rows(self) -> Iterator[Sequence[Found]]:
        page, last = self._store.expired_rows(since=self._since, after=None, limit=PAGE)
        while last is not None:
            yield page
            page, last = self._store.expired_rows(since=self._since, after=last, limit=PAGE)
        yield page

    def _pages_of_expiries(self) -> Iterator[Mapping[int, str]]:
        after: int | None = None
        while page := self._store.expiries(since=self._since, after=after, limit=PAGE):
            yield dict(page)
            after, _ = page[-1]


def _paid_before(history: Sequence[Event], *, is_expired: bool) -> Event | None:
    """Return an accepted payment after which the order expired; by its row, if no event says so."""
    paid: Event | None = None
    for event in history:
        if event.kind in PAID:
            paid = event
        elif paid:
            return paid
    return paid if is_expired else None


def _shown(time: datetime) -> str:
    return local(time, precision="milliseconds")
