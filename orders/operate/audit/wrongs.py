"""What an audit may find wrong, and the tally of what it has found."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

SHOWN = 10
"""How many orders of a kind are named. The others are only counted, so that memory is bounded."""


class WrongKind(StrEnum):
    """What is wrong with an order."""

    EXPIRED_TWICE = "expired_twice"
    """It expired more than once: somebody made it pending again, and its stock may have been given back twice."""
    EXPIRED_EARLY = "expired_early"
    """It expired before its deadline."""
    EXPIRED_ALTHOUGH_PAID = "expired_although_paid"
    """It expired after its payment was accepted, or its row is expired although it was paid after that."""
    OVERDUE_AND_UNSCHEDULED = "overdue_and_unscheduled"
    """It is overdue, and neither in the schedule nor a dead letter, although reconcile had time to find it."""
    SCHEDULED_AND_FINAL = "scheduled_and_final"
    """Its row is final, but it is still in the schedule, although a worker had time to settle it."""
    DEAD_AND_FORGOTTEN = "dead_and_forgotten"
    """It has been a dead letter for more than a day, or its row is final and the dead letter was never dropped."""
    LATE = "late"
    """It expired later than ``ORDERS_SLO`` after it was due, or has been due for longer and is still pending."""
    EVENT_MISSING = "event_missing"
    """Its row is expired, but no event says so: not this library has expired it, or the event was deleted."""
    STUCK_LEASE = "stuck_lease"
    """It is overdue and scheduled, but its turn or its lease ended long ago, or its score is later than any lease."""
    KEPT_FOR_LONG = "kept_for_long"
    """It has been due for more than a day, and the shop's condition still keeps it."""


ADVICE = {
    WrongKind.EXPIRED_TWICE: "Find out who made them pending again, and count their stock.",
    WrongKind.EXPIRED_EARLY: "Find out what else expires orders, or who changed their deadlines afterwards.",
    WrongKind.EXPIRED_ALTHOUGH_PAID: "Deliver or refund them, and find out who changed their status.",
    WrongKind.OVERDUE_AND_UNSCHEDULED: "Run `orders reconcile`, and see whether it runs once a minute.",
    WrongKind.SCHEDULED_AND_FINAL: "See whether workers run; then remove them with `orders remove`.",
    WrongKind.DEAD_AND_FORGOTTEN: "Read `orders dead list`, then requeue or drop them.",
    WrongKind.LATE: "See whether sweeps and workers ran then, and how long the guard and the hooks took.",
    WrongKind.EVENT_MISSING: "Find out what else expires orders, without hooks, or deletes events.",
    WrongKind.STUCK_LEASE: "See with `orders doctor` whether sweeps and reconcile run.",
    WrongKind.KEPT_FOR_LONG: "Decide about them: `orders cancel`, or pay them, or correct the condition.",
}
"""What to do."""


@dataclass(frozen=True, slots=True)
class Case:
    """An order with which something is wrong."""

    order_id: str
    detail: str
    """The times and states that show it."""


@dataclass(frozen=True, slots=True)
class Wrong:
    """One kind of wrong, and the orders with it."""

    kind: WrongKind
    number: int
    """How many orders."""
    cases: Sequence[Case]
    """The first of them, at most ten."""

    @property
    def advice(self) -> str:
        """What to do about them."""
        return ADVICE[self.kind]


class Tally:
    """Counts orders by what is wrong with them, and keeps the first of each kind."""

    def __init__(self) -> None:
        self._numbers: Counter[WrongKind] = Counter()
        self._cases: defaultdict[WrongKind, list[Case]] = defaultdict(list)

    def add(self, kind: WrongKind, order_id: str, detail: str) -> None:
        """Count an order."""
        self._numbers[kind] += 1
        if len(self._cases[kind]) < SHOWN:
            self._cases[kind].append(Case(order_id, detail))

    def wrongs(self) -> Sequence[Wrong]:
        """Return the kinds that were found, in the order of `WrongKind`."""
        return [Wrong(kind, self._numbers[kind], self._cases[kind]) for kind in WrongKind if self._numbers[kind]]
