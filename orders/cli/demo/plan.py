"""The plan of the demo: what happens when, drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

SPREAD = 4.0
"""Seconds between the shortest and the longest time to pay."""

LATE = 1.0
"""Seconds between a deadline and a late payment."""

TAIL = 1.5
"""Seconds at the end for closing the last orders."""


class Act(Enum):
    """An action of the shop or a customer."""

    PLACE = auto()
    PLACE_BY_ZADD = auto()
    """Scheduled without this library: ``ZADD orders <unix seconds> <id>``."""
    PAY = auto()
    """The gateway calls back."""
    PAY_UNHEARD = auto()
    """The customer pays, but the callback is lost: only the gateway knows."""
    EXTEND = auto()


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One action on one order."""

    at: float
    """Seconds from the start of the demo."""
    order: int
    act: Act
    timeout: float = 0.0
    """For PLACE and EXTEND, the seconds from then to the deadline."""


def draw(orders: int, seconds: float, sweep_interval: float, seed: int | None = None) -> list[Event]:
    """Return the events of a demo in chronological order.

    Half of the orders are paid: four in five well before the deadline, one in five in a race with expiry. One in ten of
    them gets a second callback. Of the others, the first is extended, one in ten is paid too late, and one in ten is
    paid but its callback is lost. One order in ten is scheduled with a plain ZADD.
    """
    chance = random.Random(seed)  # noqa: S311 - not used for secrets
    shortest = 1.25 * sweep_interval + 0.5  # longer than the lookahead, so that a sweep claims it before it is due
    window = max(seconds - shortest - SPREAD - LATE - TAIL, 0.5)
    events: list[Event] = []
    unpaid = 0
    for order in range(1, orders + 1):
        placed = chance.uniform(0, window)
        timeout = shortest + chance.uniform(0, SPREAD)
        by_zadd = chance.random() < 0.1
        events.append(Event(placed, order, Act.PLACE_BY_ZADD if by_zadd else Act.PLACE, timeout))
        early = placed + chance.uniform(0.2, timeout - 0.2)
        if chance.random() < 0.5:
            is_race = chance.random() < 0.2
            paid = placed + timeout + chance.uniform(-0.03, 0.005) if is_race else early
            events.append(Event(paid, order, Act.PAY))
            if chance.random() < 0.1:
                events.append(Event(paid + 0.1, order, Act.PAY))
            continue
        unpaid += 1
        if unpaid == 1:
            events.append(Event(placed + timeout / 2, order, Act.EXTEND, timeout))
        elif unpaid % 10 == 2:
            events.append(Event(placed + timeout + LATE, order, Act.PAY))
        elif unpaid % 10 == 3:
            events.append(Event(early, order, Act.PAY_UNHEARD))
    return sorted(events, key=lambda event: event.at)
