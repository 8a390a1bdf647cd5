"""What happens in the demo, and when: drawn once, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

SPREAD = 4.0
"""Seconds between the shortest and the longest time that an order has to be paid."""

TAIL = 1.5
"""Seconds left at the end for the last orders to be closed."""


class Act(Enum):
    """What the shop or a customer does."""

    PLACE = auto()
    PLACE_BY_ZADD = auto()
    """Scheduled without this library: ``ZADD orders <unix seconds> <id>``."""
    PAY = auto()
    EXTEND = auto()


@dataclass(frozen=True, slots=True, order=True)
class Event:
    """One act on one order."""

    at: float
    """Seconds from the beginning."""
    order: int
    act: Act
    timeout: float = 0.0
    """With PLACE and EXTEND, the seconds from then to the deadline."""


def draw(orders: int, seconds: float, sweep_interval: float, seed: int | None = None) -> list[Event]:
    """Return the events of a demo in the order of time.

    Half of the orders are paid: most at leisure, one in five in the last moment, when expiry may be faster. One in
    ten is scheduled by a bare ZADD, and the first that nobody pays is extended.
    """
    chance = random.Random(seed)  # noqa: S311 - a play, no secret
    shortest = 1.25 * sweep_interval + 0.5  # longer than the lookahead: the sweep knows of it before it is due
    window = max(seconds - shortest - SPREAD - TAIL, 0.5)
    events: list[Event] = []
    extended = False
    for order in range(1, orders + 1):
        placed = chance.uniform(0, window)
        timeout = shortest + chance.uniform(0, SPREAD)
        by_zadd = chance.random() < 0.1
        events.append(Event(placed, order, Act.PLACE_BY_ZADD if by_zadd else Act.PLACE, timeout))
        if chance.random() < 0.5:
            in_last_moment = chance.random() < 0.2
            moment = timeout + chance.uniform(-0.03, 0.005) if in_last_moment else chance.uniform(0.2, timeout - 0.2)
            events.append(Event(placed + moment, order, Act.PAY))
        elif not extended:
            extended = True
            events.append(Event(placed + timeout / 2, order, Act.EXTEND, timeout))
    return sorted(events, key=lambda event: event.at)
