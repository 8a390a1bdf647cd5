"""The timeline of an order: its past, its deadline, and what comes next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from orders.events import Event
from orders.expiry import Explanation
from orders.operate import to_datetime

LABELS = {
    "expired": "Expired",
    "paid": "Paid",
    "extended": "Extended",
    "late_payment": "Payment came too late",
    "revived": "Paid after expiry, and revived",
}
BURIED = "Nothing happens until an operator retries or removes it."


@dataclass(frozen=True, slots=True)
class Step:
    """One entry of the timeline."""

    what: str
    at: datetime | None
    """None if the time is not known."""
    detail: str = ""
    tone: str = ""
    """"good", "bad" or "": the colour on the page."""
    is_ahead: bool = False


def timeline(known: Explanation, now: datetime) -> list[Step]:
    """Return the steps of an order, the earliest first. The last one is what comes next."""
    steps = sorted(_dated(known, now), key=lambda step: (step.at is None, step.at))
    next_step = BURIED if known.dead_letter else _sentence(known.next)
    is_ahead = known.next_at is not None and known.next_at > now
    return [*steps, Step("Next", known.next_at if is_ahead else None, next_step, is_ahead=True)]


def _dated(known: Explanation, now: datetime) -> Iterator[Step]:
    for event in known.events:
        yield Step(
            LABELS.get(event.kind, event.kind),
            event.at,
            _details(event),
            tone="bad" if event.kind == "late_payment" or event.error else "good",
        )
    if known.last_error:
        yield Step("Last attempt failed", known.failed_at, known.last_error, tone="bad")
    if letter := known.dead_letter:
        attempts = f"after {letter['attempts']} attempts: {letter['reason']}"
        yield Step("Buried", to_datetime(float(letter["buried_at"])), attempts, tone="bad")
    if known.deadline:
        passed = known.deadline <= now
        yield Step("Deadline passed" if passed else "Deadline", known.deadline, is_ahead=not passed)
    if known.leased_until:
        yield Step("Lease ends", known.leased_until, "a sweep has claimed it", is_ahead=True)


def _details(event: Event) -> str:
    details = [f"{name.replace('_', ' ')}: {value}" for name, value in event.data.items()]
    if event.error:
        details.append(f"failed deliveries: {event.refusals}, last error: {event.error}")
    elif event.delivered_at is None:
        details.append("not delivered yet")
    return "; ".join(details)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."
