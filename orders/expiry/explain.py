"""Explain one order to a support agent: what is known about it, and what will happen to it next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orders.errors import InvalidOrderId
from orders.events import Event
from orders.schedule import Entry, Schedule
from orders.store import OrderStore, Row

if TYPE_CHECKING:
    from orders.config import Settings

SAME = 0.001
"""Seconds by which a score and a deadline may differ and still be equal: some databases keep milliseconds."""

EVENTS = 20
"""The most events of an order that are shown."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about one order. All times are in UTC."""

    order_id: str
    state: str | None
    """The status of its row; None if there is no row."""
    deadline: datetime | None
    """The deadline in its row."""
    scheduled: datetime | None
    """The time of its score; None if it is not scheduled."""
    leased_until: datetime | None
    """The end of its lease, if a sweep has claimed it."""
    attempts: int
    """Attempts that were started and have not succeeded."""
    last_error: str | None
    """Why the last attempt failed."""
    failed_at: datetime | None
    """When it failed."""
    dead_letter: dict[str, Any] | None
    """Why it was buried: "reason", "attempts", "buried_at" (Unix seconds)."""
    events: Sequence[Event]
    """Its latest events, oldest first; none if there is no events table."""
    next: str
    """What will happen to it next, in words."""
    next_at: datetime | None
    """When that will happen."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a dict for JSON, with times in ISO 8601."""
        return {name: _as_json(value) for name, value in asdict(self).items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    return [_as_json(part) for part in value] if isinstance(value, list | tuple) else value


def explain_order(order_id: str, schedule: Schedule, store: OrderStore, settings: Settings) -> Explanation:
    """Return what is known about an order.

    Raises:
        StoreError: the database failed.
        ScheduleError: Redis failed.
    """
    problem, row = "", None
    events: Sequence[Event] = []
    try:
        row = store.row(order_id)
        events = store.events(order_id, limit=EVENTS)
    except InvalidOrderId as error:
        problem = str(error)
    entry = schedule.entry(order_id)
    leased = _is_leased(entry, row, settings.grace)
    will, next_at = _next(entry, row, settings, leased=leased)
    return Explanation(
        order_id=order_id,
        state=row.status if row else None,
        deadline=row.deadline if row else None,
        scheduled=_as_datetime(entry.due),
        leased_until=_as_datetime(entry.due) if leased else None,
        attempts=entry.attempts,
        last_error=entry.failure["error"] if entry.failure else None,
        failed_at=_as_datetime(entry.failure["at"]) if entry.failure else None,
        dead_letter=entry.letter,
        events=events,
        next=f"{problem}; {will}" if problem else will,
        next_at=_as_datetime(next_at),
    )


def _is_leased(entry: Entry, row: Row | None, grace: float) -> bool:
    """Return whether the score is the end of a lease: it is in the future, and not the deadline or a retry."""
    if entry.due is None or entry.due <= entry.now:
        return False
    due = row.deadline.timestamp() + grace if row and row.deadline else None
    is_deadline = due is not None and abs(due - entry.due) <= SAME
    retry_at = entry.failure and entry.failure.get("retry_at")
    return not is_deadline and not (retry_at and abs(retry_at - entry.due) <= SAME)


def _next(entry: Entry, row: Row | None, settings: Settings, *, leased: bool) -> tuple[str, float | None]:
    if entry.letter:
        return "nothing: it is a dead letter, until `orders dead requeue` or `orders dead drop`", None
    if entry.due is None:
        if row and row.is_pending and row.deadline:
            overdue_at = row.deadline.timestamp() + settings.grace + settings.sweep_interval
            return "reconcile schedules it, because it is pending but not scheduled", max(overdue_at, entry.now)
        return "nothing: it is not scheduled", None
    if leased:
        return "a worker has it, or will get it soon; if that fails, a sweep claims it again after the lease", entry.due
    due_at = max(entry.due, entry.now)
    if row and not row.is_pending:
        return f"a worker finds that it is {row.status}, and removes it from the schedule", due_at
    if entry.failure:
        return _next_try(entry, settings), due_at
    if row is None:
        return "a worker finds no row, and tries again later", due_at
    return "a sweep claims it, and a worker expires it", due_at


def _next_try(entry: Entry, settings: Settings) -> str:
    failure = entry.failure or {}
    if failure.get("unanswered"):
        return "the guard is asked again, because it gave no answer"
    if unknown := failure.get("unknown"):
        return f"the guard is asked again: try {unknown + 1} of {settings.guard_limit}"
    return f"attempt {entry.attempts + 1} of {settings.max_attempts}"


def _as_datetime(seconds: float | None) -> datetime | None:
    # A score can be any double. The limit is the end of the year 9999.
    if seconds is None or not 0 <= seconds < 253_402_300_800:
        return None
    return datetime.fromtimestamp(seconds, UTC)
