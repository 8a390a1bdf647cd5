"""One attempt to expire orders: what a worker does with a message of the sweep.

::

    start      count the attempt; drop ids whose lease was lost meanwhile
    update     the store changes rows that are pending and due, in one transaction
    settle     take out what is final, move what is due later, try again what failed, bury what fails for ever

Whatever is interrupted between two of these steps keeps its lease, and is claimed again when that has run out.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from orders import ids
from orders.errors import ConfigError, ExpiryFailed, OrdersError, SchemaError, StoreUnavailable
from orders.schedule import Move, Schedule
from orders.store import OrderStore, Outcome, Verdict

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

BACKOFF = 1.0
"""Seconds before an order's second attempt, doubled for each further one."""

MAX_BACKOFF = 300.0
"""The most seconds between two attempts."""

OUTAGE_BACKOFF = 5.0
"""Seconds before the next attempt when the database, not the order, is at fault."""

SKEW = 0.25
"""Seconds that a worker waits for a row that is not due yet by the database's clock: what hosts' clocks differ by."""

NAMED = 10
"""Ids that a log line or an error names."""


OUTAGE = (StoreUnavailable, SchemaError, ConfigError)
"""What is the fault of the database or of its set-up, and of no order."""


class Attempt:
    """The attempt of one worker at the orders of one message.

    Args:
        schedule: where the orders are leased.
        store: where their rows are.
        settings: the settings.
        lease: the fencing token of the message.
        sleep: waits for seconds.
        jitter: returns a number from 0 to 1, by which retries are spread.
    """

    def __init__(
        self,
        schedule: Schedule,
        store: OrderStore,
        settings: Settings,
        lease: float,
        *,
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._schedule = schedule
        self._store = store
        self._settings = settings
        self._lease = lease
        self._sleep = sleep
        self._jitter = jitter
        self._numbers: dict[str, int] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._errors: dict[str, Exception] = {}
        self._waited: set[str] = set()

    def run(self, order_ids: Sequence[str]) -> dict[str, int]:
        """Do it; see `orders.expiry.OrderExpiry.expire`."""
        self._numbers = self._schedule.start(self._lease, order_ids)
        outage: OrdersError | None = None
        try:
            self._expire([order_id for order_id in self._numbers if not self._is_worn(order_id)])
        except OUTAGE as error:
            outage = error
        counts = self._settle(outage)
        counts["stale"] = len(order_ids) - len(self._numbers)
        report = {name: count for name, count in counts.items() if count}
        named = ",".join(map(ids.printable, order_ids[:NAMED])) + (",…" if len(order_ids) > NAMED else "")
        logger.info("expire %s lease=%r ids=%s", report, self._lease, named)
        if outage:
            raise outage
        self._raise_errors(len(order_ids))
        return report

    def _is_worn(self, order_id: str) -> bool:
        return self._numbers[order_id] > self._settings.max_attempts

    def _expire(self, order_ids: Sequence[str]) -> None:
        """Have the store decide: about all at once or, if that fails, about each by itself."""
        if not order_ids:
            return
        try:
            verdicts = self._store.expire(order_ids)
        except OUTAGE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever an order or its hook raises, its id must survive it
            if len(order_ids) == 1:
                self._errors[order_ids[0]] = error
                self._verdicts.pop(order_ids[0], None)
                return
            for order_id in order_ids:
                self._expire([order_id])
            return
        self._verdicts |= verdicts
        self._expire(self._wait_for(verdicts))

    def _wait_for(self, verdicts: Mapping[str, Verdict]) -> Sequence[str]:
        """Wait, once, for orders that are due in a moment: the next sweep would come a whole interval late."""
        early = {
            order_id: max(verdict.wait, 0.0)
            for order_id, verdict in verdicts.items()
            if verdict.outcome is Outcome.NOT_DUE and verdict.wait <= SKEW and order_id not in self._waited
        }
        if early:
            self._waited.update(early)
            self._sleep(max(early.values()))
        return list(early)

    def _settle(self, outage: OrdersError | None) -> Counter[str]:
        """Carry out in Redis what became of each order, where the fence holds; return how many ended how."""
        counts: Counter[str] = Counter()
        settled: list[str] = []
        moves: list[Move] = []
        letters: list[tuple[str, str]] = []
        for order_id, number in self._numbers.items():
            verdict = self._verdicts.get(order_id)
            if verdict:
                counts[verdict.outcome.value] += 1
            if verdict and verdict.outcome in {Outcome.EXPIRED, Outcome.CLOSED}:
                settled.append(order_id)
            elif verdict and verdict.outcome is Outcome.NOT_DUE:
                moves.append(Move(order_id, verdict.due))
            elif outage and order_id not in self._errors and not self._is_worn(order_id):
                counts["postponed"] += 1
                moves.append(self._retry(order_id, OUTAGE_BACKOFF, number - 1, str(outage)))
            elif number < self._settings.max_attempts:
                counts["retried"] += 1
                moves.append(self._retry(order_id, BACKOFF * 2 ** (number - 1), number, self._reason(order_id)))
            else:
                counts["buried"] += 1
                letters.append((order_id, self._letter(order_id)))
        if settled:
            self._schedule.settle(self._lease, settled, expired=counts[Outcome.EXPIRED], closed=counts[Outcome.CLOSED])
        if moves:
            self._schedule.reschedule(self._lease, moves)
        if letters:
            self._schedule.bury(self._lease, letters)
        return counts

    def _retry(self, order_id: str, seconds: float, attempts: int, error: str) -> Move:
        retry_at = self._now + min(seconds, MAX_BACKOFF) * (1 + self._jitter() / 2)
        return Move(order_id, retry_at, attempts, {"error": error, "at": self._now, "retry_at": retry_at})

    @cached_property
    def _now(self) -> float:
        return self._schedule.now()

    def _letter(self, order_id: str) -> str:
        return json.dumps(
            {"reason": self._reason(order_id), "attempts": self._numbers[order_id], "buried_at": self._now}
        )

    def _reason(self, order_id: str) -> str:
        if error := self._errors.get(order_id):
            return f"{type(error).__name__}: {error}"
        if verdict := self._verdicts.get(order_id):
            return verdict.reason
        return f"none of {self._settings.max_attempts} attempts came to an end: its process was killed each time"

    def _raise_errors(self, tried: int) -> None:
        failed = [
            order_id
            for order_id, number in self._numbers.items()
            if order_id in self._errors
            or (verdict := self._verdicts.get(order_id)) is None
            or verdict.outcome is Outcome.INVALID
            or (verdict.outcome is Outcome.MISSING and number >= self._settings.max_attempts)
        ]
        if failed:
            named = "; ".join(f"{ids.printable(order_id)}: {self._reason(order_id)}" for order_id in failed[:NAMED])
            cause = next(iter(self._errors.values()), None)
            raise ExpiryFailed(f"{len(failed)} of {tried} orders could not be expired: {named}") from cause
