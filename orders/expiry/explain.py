"""Explain one order to a support agent: what is known about it, and what will happen to it next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from orders.clock import span, to_datetime
from orders.errors import InvalidOrderId
from orders.events import Event, EventKind
from orders.expiry.result import ROUNDING, SOON
from orders.hooks import Hooks
from orders.schedule import Entry, Schedule
from orders.store import CLOSING, OrderStore, Pause, Row, State

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
    warning: str | None
    """What is wrong with its past; None if nothing is."""
    next: str
    """What will happen to it next, in words."""
    next_at: datetime | None
    """When that will happen."""
    now: datetime
    """Redis's clock, by which all this is so."""
    differs_by: float | None
    """By how many seconds its score is later than the deadline in its row; None if it is the same, or explained by a
    lease or a retry."""
    last_attempt: str | None
    """How the last attempt ended, if not well, in words."""
    has_handlers: bool
    """Whether a handler of events is registered in this process."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a dict for JSON, with times in ISO 8601."""
        return {name: _as_json(value) for name, value in asdict(self).items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, dict):
        return {name: _as_json(part) for name, part in value.items()}
    return [_as_json(part) for part in value] if isinstance(value, list | tuple) else value


def explain_order(
    order_id: str, schedule: Schedule, store: OrderStore, settings: Settings, hooks: Hooks
) -> Explanation:
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
    differs_by = _differs_by(entry, row, settings)
    leased = differs_by is not None and _is_ahead(entry) and schedule.is_lease(entry.due or 0.0)
    will, next_at = _next(entry, row, settings, leased=leased)
    if next_at is not None and (row is None or row.is_pending) and (paused := store.pauses.current()):
        will, next_at = f"nothing, because the schedule is {paused}. Then: {will}", _after(paused, next_at)
    return Explanation(
        order_id=order_id,
        state=row.status if row else None,
        deadline=row.deadline if row else None,
        scheduled=to_datetime(entry.due),
        leased_until=to_datetime(entry.due) if leased else None,
        attempts=entry.letter["attempts"] if entry.letter else entry.attempts,
        last_error=entry.failure["error"] if entry.failure else None,
        failed_at=to_datetime(entry.failure["at"]) if entry.failure else None,
        dead_letter=entry.letter,
        events=events,
        warning=_warning(events),
        next=f"{problem}; {will}" if problem else will,
        next_at=to_datetime(next_at),
        now=datetime.fromtimestamp(entry.now, UTC),
        differs_by=None if leased or not row else differs_by,
        last_attempt=_last_attempt(entry),
        has_handlers=bool(hooks.event_hooks),
    )


def _after(paused: Pause, next_at: float) -> float | None:
    return max(next_at, paused.until.timestamp()) if paused.until else None


def _differs_by(entry: Entry, row: Row | None, settings: Settings) -> float | None:
    """Return by how many seconds the score is later than the row's deadline; None if it is that, or a retry.

    If the score is that of a reminder, to a second, it is compared with that.
    """
    if entry.due is None:
        return None
    retry_at = entry.failure and entry.failure.get("retry_at")
    if retry_at and abs(retry_at - entry.due) <= SAME:
        return None
    seconds = entry.due - (row.deadline.timestamp() + settings.grace if row and row.deadline else 0.0)
    if (before := _reminder(entry, row, settings)) is not None:
        seconds += before + settings.grace
    return seconds if abs(seconds) > SAME else None


def _reminder(entry: Entry, row: Row | None, settings: Settings) -> int | None:
    """Return the reminder for which the order is scheduled, as seconds before the deadline; None if for none."""
    if entry.due is None or row is None or row.deadline is None or not row.is_pending:
        return None
    left = row.deadline.timestamp() - entry.due
    return next((before for before in settings.remind if abs(left - before) <= ROUNDING + SAME), None)


def _is_ahead(entry: Entry) -> bool:
    return entry.due is not None and entry.due > entry.now


def _next(entry: Entry, row: Row | None, settings: Settings, *, leased: bool) -> tuple[str, float | None]:
    if entry.letter:
        return "nothing: it is a dead letter, until somebody requeues or drops it", None
    if entry.due is None:
        return _next_unscheduled(row, settings, entry.now)
    if leased:
        return "a worker has it, or will get it soon; if that fails, a sweep claims it again after the lease", entry.due
    due_at = max(entry.due, entry.now)
    if row and not row.is_pending:
        return f"a worker finds that it is {row.status}, and removes it from the schedule", due_at
    if entry.failure:
        return _next_try(entry, settings), due_at
    if row is None:
        return "a worker finds no row, and tries again later", due_at
    return _next_look(entry, row, settings), due_at


def _next_look(entry: Entry, row: Row, settings: Settings) -> str:
    if row.state is State.PENDING and (before := _reminder(entry, row, settings)):
        return f"a worker records the reminder, {span(before)} before the deadline"
    due_at = row.deadline.timestamp() + settings.grace if row.deadline else 0.0
    if row.state is State.PENDING and entry.due and entry.due < due_at - SOON:
        return "a worker finds that it is not due yet, and schedules it at the deadline in its row"
    return "a sweep claims it, and a worker expires it"


def _next_unscheduled(row: Row | None, settings: Settings, now: float) -> tuple[str, float | None]:
    if row is None or not row.is_pending or row.deadline is None:
        return "nothing: it is not scheduled", None
    if row.state is State.KEPT:
        return "reconcile schedules it once the shop's condition no longer keeps it", None
    due_at = row.deadline.timestamp() + settings.grace
    missed_at = settings.reminders.next_look(due_at, due_at - now) + settings.sweep_interval
    return "reconcile schedules it, because it is pending but not scheduled", max(missed_at, now)


def _next_try(entry: Entry, settings: Settings) -> str:
    failure = entry.failure or {}
    if kept := failure.get("kept"):
        return f"the shop's condition is looked at again, because it has kept the order {_times(kept)}"
    if failure.get("unanswered"):
        return "the guard is asked again, because it gave no answer"
    if unknown := failure.get("unknown"):
        return f"the guard is asked again: try {unknown + 1} of {settings.guard_limit}"
    return f"attempt {entry.attempts + 1} of {settings.max_attempts}"


def _last_attempt(entry: Entry) -> str | None:
    failure = entry.failure
    if not failure:
        return None
    if kept := failure.get("kept"):
        return f"Kept by the shop's condition, {_times(kept)} so far"
    if failure.get("unanswered"):
        return "The guard was asked, and gave no answer"
    if unknown := failure.get("unknown"):
        return f"The guard did not know whether it is paid, {_times(unknown)} so far"
    return f"Attempt {entry.attempts} failed" if entry.attempts else "The last attempt could not be made"


def _warning(events: Sequence[Event]) -> str | None:
    """Return a warning about an order whose stock was given back more than once."""
    closings = [event for event in events if event.kind in CLOSING]
    times = len(closings) + bool(closings and closings[0].data.get("again"))  # an earlier one is not in the list
    if times < 2:
        return None
    kinds = dict.fromkeys("expired" if event.kind is EventKind.EXPIRED else "been cancelled" for event in closings)
    return f"it has {' or '.join(kinds)} {times} times: somebody made it pending again in between"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"
