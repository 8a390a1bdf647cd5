"""Decide about a payment for an order that is no longer pending: the verdict, and whether a refund is due.

A payment for a pending order is accepted by an update (`orders.store.statements`). This table is for the others:

==================== ============================== ========== =========
the row              the order was paid before      verdict    refund
==================== ============================== ========== =========
paid                 by this payment, or unknown    DUPLICATE
paid                 by another                     DUPLICATE  is due
expired              no, or by another              TOO_LATE   is due
cancelled            no, or by another              CLOSED     is due
another state        no                             CLOSED     the shop knows
another state        by this payment, or unknown    DUPLICATE
another state        by another                     DUPLICATE  is due
==================== ============================== ========== =========

A refund is due for a payment that was refused before, whatever the row says now. It is never due for the payment by
which the order was paid.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from orders.events import Event, EventKind
from orders.store.outcomes import Payment, PaymentVerdict, State

REFUNDS = UUID("6d0f9a0e-6a1c-5b6e-9a55-3a1de8f0c5d2")
"""The namespace of refund keys (UUID version 5, RFC 9562). A key has 36 characters; gateways accept 36 to 255."""


@dataclass(frozen=True, slots=True)
class Money:
    """A payment, and the earlier payments of the same order."""

    order_id: str
    reference: str | None
    """The gateway's id of the payment."""
    before: Sequence[Event]
    """The payment events of the order from the outbox, accepted and refused, oldest first."""

    @property
    def refund_key(self) -> str:
        """The idempotency key of a refund: the same each time the callback of this payment comes."""
        return str(uuid5(REFUNDS, json.dumps([self.order_id, self.reference])))

    @property
    def was_refused(self) -> bool:
        """Whether this payment was refused before."""
        return any(event.data.get("refund_key") == self.refund_key for event in self.before)

    @property
    def accepted(self) -> Event | None:
        """The event of the payment that paid the order: the last one, if the shop reopened the order."""
        return self._all_accepted[-1] if self._all_accepted else None

    @property
    def was_accepted(self) -> bool:
        """Whether this payment paid the order. True if a missing reference leaves it open."""
        return self.accepted is not None and not self._is_another

    @property
    def names_the_accepted(self) -> bool:
        """Whether this names the payment that paid the order, recorded without a reference (by the guard, say)."""
        is_new = self.reference is not None and self.reference not in self._references
        return is_new and self.was_accepted and not self.was_refused

    def judge(self, state: State, *, is_cancelled: bool) -> Payment:
        """Return the verdict.

        Args:
            state: the state of the row.
            is_cancelled: whether the status of the row is in ``ORDERS_CANCELLED``.
        """
        verdict = self._verdict(state, is_cancelled=is_cancelled)
        ended_unpaid = state in {State.EXPIRED, State.PENDING, State.OVERDUE} or is_cancelled
        is_due = self.was_refused or (not self.was_accepted and (ended_unpaid or self._is_another))
        is_pending = state in {State.PENDING, State.OVERDUE}
        return Payment(self.order_id, verdict, self.refund_key if is_due else None, is_pending=is_pending)

    def _verdict(self, state: State, *, is_cancelled: bool) -> PaymentVerdict:
        was_paid = state is State.PAID or (state is State.CLOSED and self.accepted is not None)
        if was_paid and not is_cancelled:
            return PaymentVerdict.DUPLICATE
        return PaymentVerdict.CLOSED if state is State.CLOSED else PaymentVerdict.TOO_LATE

    @property
    def _all_accepted(self) -> Sequence[Event]:
        return [event for event in self.before if event.kind is not EventKind.LATE_PAYMENT]

    @property
    def _references(self) -> Sequence[str | None]:
        recorded = [event.data.get("reference") for event in self._all_accepted]
        return [None if reference is None else str(reference) for reference in recorded]  # it could be a number before

    @property
    def _is_another(self) -> bool:
        """Whether the order was paid, and certainly not by this payment."""
        known = self._references
        return bool(known) and None not in {self.reference, known[-1]} and self.reference not in known
