"""The step of an attempt that records reminders (``ORDERS_REMIND``): for orders that are not due yet."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from orders import ids
from orders.config import mask
from orders.errors import OrdersError, SchemaError, StoreUnavailable
from orders.expiry.result import SOON, Result
from orders.hooks import Answer
from orders.logs import about
from orders.schedule import REMINDED
from orders.store import OrderStore, Outcome, without_conflict

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)


class Reminding:
    """Records the reminders of the orders of an attempt.

    Nothing that goes wrong here makes an attempt of an order fail, because no order may become a dead letter for it. An
    order whose reminder could not be recorded is looked at again soon, until its deadline.

    Args:
        store: the orders table and the events table.
        settings: the settings.
        sleep: sleeps for a number of seconds.
        jitter: returns a random number from 0 to 1, to spread retries.
    """

    def __init__(
        self,
        store: OrderStore,
        settings: Settings,
        *,
        sleep: Callable[[float], None],
        jitter: Callable[[], float],
    ) -> None:
        self._store = store
        self._reminders = settings.reminders
        self._sleep = sleep
        self._retried = partial(without_conflict, sleep=sleep, jitter=jitter)

    def run(self, results: Mapping[str, Result], outage: OrdersError | None) -> tuple[OrdersError | None, Counter[str]]:
        """Record the reminders; return the error of a server that failed, and what to add to the counters.

        Args:
            results: what the attempt has found so far. The verdicts are replaced.
            outage: the error of the server that has already ended the attempt.
        """
        waits = {order_id: wait for order_id, result in results.items() if (wait := self._wait(result)) is not None}
        if not waits:
            return outage, Counter()
        due = {order_id: results[order_id] for order_id in waits}
        for result in due.values():
            result.lacks_reminder = True
        if outage is None:
            if max(waits.values()) > 0:
                self._sleep(max(waits.values()))
            outage = self._record(due)
        return outage, Counter(REMINDED for result in due.values() if _is_reminded(result))

    def _wait(self, result: Result) -> float | None:
        """Return the seconds until a reminder, not above 0 if its time has come; None if none is due `SOON`.

        By the database's clock it may come a little later than by Redis's, and the next sweep would be too late.
        """
        verdict = result.verdict
        # A deadline that the guard has just moved is like one that `orders.hold` has: reminders begin after now.
        if verdict is None or verdict.outcome is not Outcome.NOT_DUE or result.answer is Answer.LATER:
            return None
        before = self._reminders.passed(verdict.wait, ahead=SOON)
        return None if before is None else verdict.wait - self._reminders.grace - before

    def _record(self, results: Mapping[str, Result]) -> OrdersError | None:
        """Have the store record them all at once or, if that fails, each one separately."""
        try:
            verdicts = self._retried(partial(self._store.remind, list(results)))
        except StoreUnavailable as error:
            return error
        except Exception as error:  # noqa: BLE001 - whatever the database raises, the order must expire at its deadline
            if isinstance(error, SchemaError) or len(results) == 1:
                _log(error, results)
                for result in results.values():
                    result.lacks_reminder = not isinstance(error, SchemaError)  # that will be so at the next look too
                    result.error = error
                return None
            outages = [self._record({order_id: result}) for order_id, result in results.items()]
            return next(filter(None, outages), None)
        for order_id, verdict in verdicts.items():
            results[order_id].verdict, results[order_id].lacks_reminder = verdict, False
        return None


def _is_reminded(result: Result) -> bool:
    return result.verdict is not None and result.verdict.outcome is Outcome.REMINDED


def _log(error: Exception, order_ids: Iterable[str]) -> None:
    why, order_ids = mask(str(error)), list(order_ids)
    named = ", ".join(ids.all_printable(order_ids))
    fields = about("not_reminded", order_ids, error=why)
    logger.error("reminders not recorded, of %s: %s: %s", named, type(error).__name__, why, extra=fields)
