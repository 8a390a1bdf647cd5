"""The timeline of an order, in sentences: its past, its deadline, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

from orders.clock import local, span, to_datetime
from orders.events import Event, EventKind
from orders.expiry.explain import EVENTS, Explanation

EXTENDED = {
    "hold": "Held until {deadline}, while a payment was in progress",
    "guard": "Extended to {deadline} by the guard: the payment gateway cannot tell before",
    "extend_many": "Extended to {deadline}, together with other orders",
    "resume": "Extended to {deadline}, because expiry was paused",
}
"""What an event "extended" says, by the value of "by" in its data. Without one, it was `orders.extend`."""

AT_ONCE = timedelta(seconds=1)
"""How long after the event a deadline may be and still mean "now": clocks differ."""

LATE = {
    "too_late": "A payment{reference} came after it had expired",
    "closed": "A payment{reference} came after it was closed",
    "duplicate": "A second payment{reference} came",
}
"""What an event "late_payment" says, by its verdict."""


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the timeline."""

    what: str
    """A sentence, without its full stop."""
    at: datetime | None
    """In UTC; None if the time is not known."""
    detail: str = ""
    tone: str = ""
    """"good", "bad" or "": the colour on a page."""
    is_ahead: bool = False
    """Whether it is still to come."""


def timeline(known: Explanation, zone: tzinfo | None = None) -> list[Step]:
    """Return the steps of an order, the earliest first. The last one is what comes next.

    Args:
        known: what `orders.explain` returned.
        zone: the zone of the times in the sentences; by default that of this process, see `orders.clock.local`.
    """
    dated = sorted(_dated(known, zone), key=lambda step: (step.at is None, step.at))
    is_ahead = known.next_at is not None and known.next_at > known.now
    following = Step(f"Next: {known.next}", known.next_at if is_ahead else None, is_ahead=True)
    return [*_beginning(known, zone), *dated, following]


def _beginning(known: Explanation, zone: tzinfo | None) -> Iterator[Step]:
    """Yield how it began. The row does not tell when it was placed."""
    if known.state is None:
        yield Step("There is no such row", None, "it was deleted, or is not committed yet", tone="bad")
    elif len(known.events) == EVENTS:
        yield Step(f"Placed; only the latest {EVENTS} events are shown", None)
    elif known.deadline is None:
        yield Step("Placed, without a deadline in its row", None)
    elif any(event.kind is EventKind.EXTENDED for event in known.events):
        yield Step("Placed", None)
    else:
        yield Step(f"Placed, to be paid by {local(known.deadline, zone)}", None)


def _dated(known: Explanation, zone: tzinfo | None) -> Iterator[Step]:
    for event in known.events:
        bad = event.kind is EventKind.LATE_PAYMENT or event.error or event.data.get("again")
        yield Step(_sentence(event, zone), event.at, _delivery(event, known), tone="bad" if bad else "good")
    if known.last_error:
        yield Step(known.last_attempt or "The last attempt failed", known.failed_at, known.last_error, tone="bad")
    elif known.attempts and not known.dead_letter:
        yield Step(f"Attempts that were started and have not ended: {known.attempts}", None)
    if letter := known.dead_letter:
        what = f"Buried after attempt {letter['attempts']}"
        yield Step(what, to_datetime(float(letter["buried_at"])), str(letter["reason"]), tone="bad")
    if known.deadline:
        is_ahead = known.deadline > known.now
        yield Step("Deadline" if is_ahead else "The deadline passed", known.deadline, is_ahead=is_ahead)
    if known.leased_until:
        what = "The lease of the sweep that has claimed it ends"
        yield Step(what, known.leased_until, is_ahead=True)
    elif known.scheduled and known.differs_by is not None:
        what = f"Scheduled: differs from the deadline in its row by {known.differs_by:+,.1f} s"
        yield Step(what, known.scheduled, tone="bad", is_ahead=known.scheduled > known.now)
    elif known.scheduled and known.state is None:
        yield Step("Scheduled, without a row", known.scheduled, tone="bad", is_ahead=known.scheduled > known.now)


def _sentence(event: Event, zone: tzinfo | None) -> str:
    data = event.data
    reference = f" {data['reference']}" if data.get("reference") else ""
    match event.kind:
        case EventKind.EXPIRED:
            return "Expired again, because somebody had made it pending" if data.get("again") else "Expired, unpaid"
        case EventKind.PAID:
            by = ", as the guard found out" if data.get("by") == "guard" else reference and f" by{reference}"
            return f"Paid{by}"
        case EventKind.EXTENDED:
            return _extended(event, zone)
        case EventKind.CANCELLED:
            again = " again, because somebody had made it pending" if data.get("again") else ""
            return f"Cancelled{again}. Reason: {data.get('reason', 'none is known')}"
        case EventKind.REVIVED:
            return f"Paid after it had expired{reference and f', by{reference}'}: the shop took its stock again"
        case EventKind.REMINDER:
            deadline = local(datetime.fromisoformat(str(data["deadline"])), zone)
            return f"Reminder, {span(int(data['before']))} before the deadline {deadline}"
        case EventKind.LATE_PAYMENT:
            late = LATE.get(str(data.get("verdict")), LATE["closed"]).format(reference=reference)
            return f"{late}: refund it with the idempotency key {data.get('refund_key')}"


def _extended(event: Event, zone: tzinfo | None) -> str:
    """Return the sentence about another deadline, and who gave it."""
    by = str(event.data.get("by", ""))
    deadline = datetime.fromisoformat(str(event.data["deadline"]))
    if not by and event.at and deadline <= event.at + AT_ONCE:
        return "Due at once, because its deadline was moved to then"
    default = f"Extended to {{deadline}} by {by}" if by else "Extended to {deadline} by the shop"
    return EXTENDED.get(by, default).format(deadline=local(deadline, zone))


def _delivery(event: Event, known: Explanation) -> str:
    """Return what is worth knowing about the delivery of an event to handlers."""
    if event.error:
        return f"failed deliveries: {event.refusals}, last error: {event.error}"
    if event.delivered_at:
        return ""
    return "not delivered yet" if known.has_handlers else "no handler is registered"
