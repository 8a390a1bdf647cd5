"""Updates of the schedule that belong to a transaction: they wait for its commit, and do not undo it if Redis fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from orders.expiry.result import FINAL
from orders.schedule import NOT_REMOVED, NOT_SCHEDULED, Outages, Schedule
from orders.store import Joined, Outcome, Payment, PaymentVerdict, Transactions, Verdict


class ScheduleUpdates:
    """Changes the schedule now or, in the caller's transaction, after its commit.

    Args:
        schedule: the sorted set.
        transactions: run callbacks after a commit.
    """

    def __init__(self, schedule: Schedule, transactions: Transactions) -> None:
        self._schedule = schedule
        self._transactions = transactions
        self.outages = Outages()
        """Counts the updates of Redis that failed after a commit."""

    def enqueue(self, due_at: Sequence[tuple[str, float]], session: Joined | None) -> None:
        """Schedule orders at Unix times."""
        self._update(
            lambda: self._schedule.enqueue(due_at), [order_id for order_id, _ in due_at], session, NOT_SCHEDULED
        )

    def remove(self, order_id: str, session: Joined | None) -> bool:
        """Remove an order; return whether it was scheduled, False if a commit is still to come."""
        removed = list[int]()
        self._update(lambda: removed.append(self._schedule.remove([order_id])), [order_id], session, NOT_REMOVED)
        return sum(removed) > 0

    def paid(self, payment: Payment, session: Joined | None) -> None:
        """Remove the order of a payment, if its row is final; count the payment in the history, if it was accepted."""
        if payment.is_final:
            is_paid = payment.verdict is PaymentVerdict.ACCEPTED
            self.settled(payment.order_id, session, is_paid=is_paid)

    def decided(self, order_id: str, verdict: Verdict) -> None:
        """Remove an order that was expired or paid outside an attempt, if its row is final."""
        if verdict.outcome in FINAL:
            self.settled(order_id, None, is_paid=verdict.outcome is Outcome.PAID)

    def settled(self, order_id: str, session: Joined | None, *, is_paid: bool = False) -> None:
        """Remove a final order. If Redis fails, a worker removes it at the deadline.

        Args:
            order_id: the order.
            session: the caller's transaction.
            is_paid: whether it was this caller who marked it as paid, for the history.
        """
        remove = partial(self._schedule.remove, [order_id], are_paid=is_paid)
        self._transactions.after_commit(session, self._forgiven(remove, [order_id], NOT_REMOVED))

    def _update(
        self, update: Callable[[], object], order_ids: Sequence[str], session: Joined | None, consequence: str
    ) -> None:
        forgives = self._transactions.forgives(session)
        call = self._forgiven(update, order_ids, consequence) if forgives else update
        self._transactions.after_commit(session, call)

    def _forgiven(self, update: Callable[[], object], order_ids: Sequence[str], consequence: str) -> Callable[[], None]:
        """Return *update* with errors of Redis logged and counted instead of raised."""

        def try_to_update() -> None:
            with self.outages.forgiven(order_ids, consequence):
                update()

        return try_to_update
