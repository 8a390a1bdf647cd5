"""What happens in the demo, and when: drawn once, from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum, auto

SPREAD = 4.0
"""Seconds between the shortest and the longest time that an order has to be paid."""

LATE = 1.0
"""Seconds after its deadline at which a late payment comes."""

TAIL = 1.5
"""Seconds left at the end for the last orders to be closed."""


class Act(Enum):
    """What the shop or a customer does."""

    PLACE = auto()
    PLACE_BY_ZADD = auto()
    """Scheduled without this library: ``ZADD orders <unix seconds> <id>``."""
    PAY = auto()
    """The gateway's callback comes."""
    PAY_UNHEARD = auto()
    """The customer pays, and the callback gets lost: only the gateway knows."""
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

    Half of the orders are paid: most at leisure, one in five in the last moment, when expiry may be faster; of some the
    callback comes twice. Of those that are not, the first is extended; some are paid too late, and of some the callback
    gets lost. One in ten is scheduled by a bare ZADD.
    """
    chance = random.Random(seed)  # noqa: S311 - a play, no secret
    shortest = 1.25 * sweep_interval + 0.5  # longer than the lookahead: the sweep knows of it before it is due
    window = max(seconds - shortest - SPREAD - LATE - TAIL, 0.5)
    events: list[Event] = []
    unpaid = 0
    for order in range(1, orders + 1):
        placed = chance.uniform(0, window)
        timeout = shortest + chance.uniform(0, SPREAD)
        by_zadd = chance.random() < 0.1
        events.append(Event(placed, order, Act.PLACE_BY_ZADD if by_zadd else Act.PLACE, timeout))
        at_leisure = placed + chance.uniform(0.2, timeout - 0.2)
        if chance.random() < 0.5:
            in_last_moment = chance.random() < 0.2
            moment = placed + timeout + chance.uniform(-0.03, 0.005) if in_last_moment else at_leisure
            events.append(Event(moment, order, Act.PAY))
            if chance.random() < 0.1:
                events.append(Event(moment + 0.1, order, Act.PAY))
            continue
        unpaid += 1
        if unpaid == 1:
            events.append(Event(placed + timeout / 2, order, Act.EXTEND, timeout))
        elif unpaid % 10 == 2:
            events.append(Event(placed + timeout + LATE, order, Act.PAY))
        elif unpaid % 10 == 3:
            events.append(Event(at_leisure, order, Act.PAY_UNHEARD))
    return sorted(events, key=lambda event: event.at)
