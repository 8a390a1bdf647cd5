"""What happened to an order, and what will, in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from orders.events import Event
from orders.expiry import Explanation
from orders.operate import moment

SPOKEN = {
    "expired": "Expired",
    "paid": "Paid",
    "extended": "Extended",
    "late_payment": "Payment came too late",
    "revived": "Paid after expiry, and taken up again",
}
BURIED = "Nothing happens to it until it is retried or removed."


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, or will."""

    what: str
    at: datetime | None
    """None if nobody knows when."""
    detail: str = ""
    tone: str = ""
    """"good", "bad" or "" for how it is shown."""
    is_ahead: bool = False


def timeline(known: Explanation, now: datetime) -> list[Step]:
    """Return the steps of an order, the earliest first. What comes next is the last."""
    steps = sorted(_dated(known, now), key=lambda step: (step.at is None, step.at))
    will = BURIED if known.dead_letter else _sentence(known.next)
    ahead = known.next_at is not None and known.next_at > now
    return [*steps, Step("Next", known.next_at if ahead else None, will, is_ahead=True)]


def _dated(known: Explanation, now: datetime) -> Iterator[Step]:
    for event in known.events:
        yield Step(
            SPOKEN.get(event.kind, event.kind),
            event.at,
            _about(event),
            tone="bad" if event.kind == "late_payment" or event.error else "good",
        )
    if known.last_error:
        yield Step("Last attempt failed", known.failed_at, known.last_error, tone="bad")
    if letter := known.dead_letter:
        attempts = f"after {letter['attempts']} attempts: {letter['reason']}"
        yield Step("Buried", moment(float(letter["buried_at"])), attempts, tone="bad")
    if known.deadline:
        passed = known.deadline <= now
        yield Step("Deadline passed" if passed else "Deadline", known.deadline, is_ahead=not passed)
    if known.leased_until:
        yield Step("Lease ends", known.leased_until, "a sweep has claimed it", is_ahead=True)


def _about(event: Event) -> str:
    data = [f"{name.replace('_', ' ')}: {value}" for name, value in event.data.items()]
    if event.error:
        data.append(f"a handler refused it {event.refusals} times: {event.error}")
    elif event.delivered_at is None:
        data.append("not delivered yet")
    return "; ".join(data)


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:].rstrip('.')}."
