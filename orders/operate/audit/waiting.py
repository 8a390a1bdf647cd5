"""The orders that have not ended: pending rows that are due, ids in the schedule, dead letters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from orders.clock import local, to_datetime
from orders.expiry import SAME
from orders.operate.audit.wrongs import Tally, WrongKind
from orders.schedule import CHUNK, Schedule
from orders.store import Found, OrderStore, State

if TYPE_CHECKING:
    from orders.config import Settings

PATIENCE = 600.0
"""Seconds for which servers and workers may be busy or away before an order that waits for them counts as wrong."""

LONG = 86400.0
"""Seconds after which a dead letter is forgotten, and an order is kept for long: a day."""

FINAL = {State.PAID, State.EXPIRED, State.CLOSED}


class Waiting:
    """Reads pending rows that are due, and everything in the schedule.

    Args:
        schedule: the schedule.
        store: the store.
        settings: the settings.
        tally: counts what is wrong.
        now: the time by the clock that decides what is due.
    """

    def __init__(self, schedule: Schedule, store: OrderStore, settings: Settings, tally: Tally, now: datetime) -> None:
        self._schedule = schedule
        self._store = store
        self._settings = settings
        self._tally = tally
        self._now = now
        self.due = self.scheduled = self.dead = 0

    def examine(self) -> None:
        """Examine all of them."""
        for page in self._pages_of_rows():
            self._judge_rows(page)
        for each in self._schedule.sets():
            for found in _pages_of_ids(each):
                self._judge_scheduled(each, found)
        letters = iter(self._schedule.dead())
        while page_of_letters := list(islice(letters, CHUNK)):
            self._judge_letters(page_of_letters)

    def _judge_rows(self, page: Sequence[Found]) -> None:
        self.due += len(page)
        slo, waiting = self._settings.slo, []
        for row in page:
            late = self._late(row)
            since = f"due at {_shown(self._due_at(row))}"
            if row.state is State.KEPT:
                if late > LONG:
                    self._tally.add(WrongKind.KEPT_FOR_LONG, row.order_id, f"{since}, kept by the shop's condition")
                continue
            if slo is not None and late > slo:
                self._tally.add(WrongKind.LATE, row.order_id, f"{since}, still pending {late:,.0f} s later")
            if late > PATIENCE:
                waiting.append(row.order_id)
        if missing := self._schedule.uncovered(waiting):
            # A worker may have expired and settled it since its row was read.
            for order_id, row in self._store.rows(missing).items():
                if row.state is State.OVERDUE:
                    detail = f"due at {_shown(self._due_at(row))}, neither scheduled nor a dead letter"
                    self._tally.add(WrongKind.OVERDUE_AND_UNSCHEDULED, order_id, detail)

    def _judge_scheduled(self, schedule: Schedule, found: Sequence[tuple[str, float]]) -> None:
        self.scheduled += len(found)
        rows = self._store.rows([order_id for order_id, _ in found])
        now, lease, suspects = schedule.now(), self._settings.lease, {}
        for order_id, score in found:
            row = rows.get(order_id)
            if row is None:
                continue
            is_left, is_beyond = score < now - PATIENCE, score > now + lease
            if row.state in FINAL and (is_left or (is_beyond and row.state is State.EXPIRED)):
                detail = f"the row is {row.state}, scheduled at {_shown(score)}"
                self._tally.add(WrongKind.SCHEDULED_AND_FINAL, order_id, detail)
            elif row.state is State.OVERDUE and self._late(row) > PATIENCE and (is_left or is_beyond):
                suspects[order_id] = score, row
        failures = schedule.failures(list(suspects))
        for order_id, (score, row) in suspects.items():
            retry_at = failures.get(order_id, {}).get("retry_at")
            if score > now and retry_at and abs(retry_at - score) <= SAME:
                continue
            what = "its turn came" if abs(score - self._due_at(row)) <= SAME else "its lease or retry ended"
            what = f"{what} at {_shown(score)}" if score < now else f"its score is {_shown(score)}, beyond any lease"
            self._tally.add(WrongKind.STUCK_LEASE, order_id, f"due at {_shown(self._due_at(row))}; {what}")

    def _judge_letters(self, letters: Sequence[tuple[str, dict[str, Any]]]) -> None:
        self.dead += len(letters)
        rows, now = self._store.rows([order_id for order_id, _ in letters]), self._schedule.now()
        for order_id, letter in letters:
            state = rows[order_id].state if order_id in rows else State.MISSING
            buried_at = float(letter["buried_at"])
            if state in FINAL or now - buried_at > LONG:
                detail = f"the row is {state}, buried at {_shown(buried_at)}: {letter['reason']}"
                self._tally.add(WrongKind.DEAD_AND_FORGOTTEN, order_id, detail)

    def _due_at(self, row: Found) -> float:
        """Return when a row with a deadline is due, in Unix seconds."""
        return row.deadline.timestamp() + self._settings.grace if row.deadline else 0.0

    def _late(self, row: Found) -> float:
        return self._now.timestamp() - self._due_at(row)

    def _pages_of_rows(self) -> Iterator[Sequence[Found]]:
        after: Found | None = None
        while page := self._store.due_rows(after=after, limit=CHUNK):
            yield page
            after = page[-1]


def _pages_of_ids(schedule: Schedule) -> Iterator[Sequence[tuple[str, float]]]:
    """Yield the ids of one sorted set, each with when it is due."""
    cursor = None
    while cursor != 0:
        cursor, found = schedule.walk(cursor or 0)
        yield found


def _shown(seconds: float) -> str:
    time = to_datetime(seconds)
    return local(time) if time else f"{seconds:g}"  # a score may be any number
