"""What money means that comes for an order which is not simply pending: a verdict, and whether it has to go back.

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

What was refused once stays refused, and what was accepted once is never to be refunded, whatever the row says since.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from orders.events import Event, EventKind
from orders.store.outcomes import Payment, PaymentVerdict, State

REFUNDS = UUID("6d0f9a0e-6a1c-5b6e-9a55-3a1de8f0c5d2")
"""The name space of refunds (RFC 9562, version 5): a key fits the 36 to 255 characters that gateways accept."""


@dataclass(frozen=True, slots=True)
class Money:
    """A payment, and what the outbox knows of the order's money."""

    order_id: str
    reference: str | None
    """The gateway's id of the payment."""
    before: Sequence[Event]
    """What was accepted and refused before, oldest first."""

    @property
    def refund_key(self) -> str:
        """The same for the same payment, however often its callback comes."""
        return str(uuid5(REFUNDS, json.dumps([self.order_id, self.reference])))

    @property
    def was_refused(self) -> bool:
        """Whether this payment was refused before."""
        return any(event.data.get("refund_key") == self.refund_key for event in self.before)

    @property
    def accepted(self) -> Event | None:
        """The payment that the order was paid by, the last one if the shop has opened it again."""
        return self._all_accepted[-1] if self._all_accepted else None

    @property
    def was_accepted(self) -> bool:
        """Whether the order was paid by this payment, as far as can be told."""
        return self.accepted is not None and not self._is_another

    @property
    def names_the_accepted(self) -> bool:
        """Whether this tells the reference of a payment of which only the guard had told."""
        is_new = self.reference is not None and self.reference not in self._references
        return is_new and self.was_accepted and not self.was_refused

    def judge(self, state: State, *, is_cancelled: bool) -> Payment:
        """Return the verdict.

        Args:
            state: of the row.
            is_cancelled: whether the row says one of the shop's words for cancelled.
        """
        verdict = self._verdict(state, is_cancelled=is_cancelled)
        ended_unpaid = state in {State.EXPIRED, State.PENDING, State.OVERDUE} or is_cancelled
        is_due = self.was_refused or (not self.was_accepted and (ended_unpaid or self._is_another))
        return Payment(self.order_id, verdict, self.refund_key if is_due else None)

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
        return [event.data.get("reference") for event in self._all_accepted]

    @property
    def _is_another(self) -> bool:
        """Whether the order was paid, and certainly by other payments than this."""
        known = self._references
        return bool(known) and None not in {self.reference, known[-1]} and self.reference not in known
