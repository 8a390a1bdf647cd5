"""Everything that happens to orders in one transaction: the change of state, the shop's hooks, the events.

Locks are taken in this order: first the rows of the orders, by one statement; then whatever the hooks lock. The shop's
own transactions should lock in the same order, e.g. first an order and then its stock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orders import ids
from orders.errors import InvalidOrderId
from orders.events import Event, EventKind
from orders.hooks import Hooks
from orders.logs import about
from orders.store import caller_transaction
from orders.store.outbox import Outbox
from orders.store.outcomes import Outcome, Payment, PaymentVerdict, State, Verdict
from orders.store.payments import Money
from orders.store.port import Joined, Transactions
from orders.store.statements import MISSING, Statements

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tables:
    """The tables of one database: the orders, and the outbox if there is an events table."""

    orders: Statements
    outbox: Outbox | None

    def key(self, order_id: str) -> Any:
        """Return an order id as the id column holds it; see `orders.store.orders_table.OrdersTable.key`."""
        return self.orders.orders.key(order_id)

    def order_id(self, key: Any) -> str:
        """Return the order id of a row, as it is in the schedule."""
        return self.orders.orders.order_id(key)


@dataclass(frozen=True)
class UnitOfWork:
    """One transaction: a new one, or the caller's."""

    connection: sa.Connection
    tables: Tables
    settings: Settings
    hooks: Hooks
    transactions: Transactions
    session: Joined | None
    """The caller's session or connection; None in a new transaction."""
    to_python: Callable[[Any], Any]
    """Converts an id from the id column to the type that hooks expect."""
    after_commit: list[Callable[[], object]] = field(default_factory=list)
    """Callbacks to run after the commit."""

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire the orders that are pending and due, and call the hooks with them; return a verdict for each id."""
        keys, verdicts = self._keys(order_ids)
        late_by = self.tables.orders.expire_due(self.connection, sorted(set(keys.values())))
        self._expired(late_by)
        return {**verdicts, **self._verdicts(keys, Outcome.EXPIRED, late_by)}

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark the pending orders as paid, because the guard says so; return a verdict for each id."""
        keys, verdicts = self._keys(order_ids)
        paid = self.tables.orders.pay(self.connection, sorted(set(keys.values())))
        self._record(map(self.tables.order_id, sorted(paid)), EventKind.PAID, {"by": "guard"})
        return {**verdicts, **self._verdicts(keys, Outcome.PAID, dict.fromkeys(paid, 0.0))}

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Return a verdict for each id; change nothing."""
        keys, verdicts = self._keys(order_ids)
        found = self.tables.orders.look(self.connection, list(set(keys.values())), may_be_due=True)
        return {**verdicts, **{order_id: found.get(key, MISSING) for order_id, key in keys.items()}}

    def extend(self, order_id: str, deadline: datetime) -> str | None:
        """Give a pending order another deadline; return its id as in the schedule, None if it was not pending."""
        key = self.tables.key(order_id)
        if not self.tables.orders.extend(self.connection, key, deadline):
            return None
        order_id = self.tables.order_id(key)
        self._record([order_id], EventKind.EXTENDED, {"deadline": deadline.isoformat()})
        self._refresh(key)
        return order_id

    def pay(self, order_id: str, reference: str | None) -> Payment:
        """Mark an order as paid if it is pending; return what became of the payment."""
        key = self.tables.key(order_id)
        order_id, strict = self.tables.order_id(key), self.settings.strict
        never_refused = ~self.tables.outbox.has_refused(order_id) if self.tables.outbox else None
        if self.tables.orders.pay(self.connection, [key], in_time=strict, only_if=never_refused):
            payment = self._accept(order_id, reference)
        else:
            payment = self._pay_locked(key, reference)
        if payment.verdict is not PaymentVerdict.NOT_FOUND:
            self._refresh(key)
        return payment

    def _pay_locked(self, key: Any, reference: str | None) -> Payment:
        """Lock the row until the commit, and decide about a payment that the update did not accept."""
        order_id = self.tables.order_id(key)
        row = self.tables.orders.row(self.connection, key, lock=True)
        if row is None:
            return Payment(order_id, PaymentVerdict.NOT_FOUND)
        money = Money(order_id, reference, self._payments(order_id))
        if row.is_pending and not money.was_refused:
            if self.settings.strict and (late_by := self.tables.orders.expire_due(self.connection, [key])):
                self._expired(late_by)
                return self._refuse(key, money, State.EXPIRED, row.status)
            if self.tables.orders.pay(self.connection, [key]):
                return self._accept(order_id, reference)
        return self._refuse(key, money, row.state, row.status)

    def _accept(self, order_id: str, reference: str | None) -> Payment:
        self._record([order_id], EventKind.PAID, _details(reference))
        return Payment(order_id, PaymentVerdict.ACCEPTED)

    def _refuse(self, key: Any, money: Money, state: State, status: str) -> Payment:
        """Decide about a payment for an order that does not accept it: revive the order, or return a verdict."""
        details = _details(money.reference)
        may_revive = state is State.EXPIRED and not money.was_refused and not money.was_accepted
        if may_revive and self._revive(key):
            self._record([money.order_id], EventKind.REVIVED, details)
            payment = Payment(money.order_id, PaymentVerdict.ACCEPTED, was_revived=True)
            self.after_commit.append(partial(_log, payment, details))
            return payment
        payment = money.judge(state, is_cancelled=status.rstrip() in self.settings.cancelled)
        if self.tables.outbox and money.accepted and money.names_the_accepted:
            self.tables.outbox.add(self.connection, money.accepted, details)
        if payment.refund_key and not money.was_refused:
            details = {"verdict": payment.verdict.value, "refund_key": payment.refund_key, **details}
            self._record([money.order_id], EventKind.LATE_PAYMENT, details)
            self.after_commit.append(partial(_log, payment, details))
        return payment

    def _payments(self, order_id: str) -> Sequence[Event]:
        return self.tables.outbox.payments(self.connection, order_id) if self.tables.outbox else []

    def _revive(self, key: Any) -> bool:
        """Ask the shop to reserve its stock again; if it does, mark the expired order as paid."""
        hook = self.hooks.late_payment_hook
        if hook is None:
            return False
        hook_argument = self.transactions.hook_argument(self.session, self.connection)
        with hook_argument as argument, self.transactions.savepoint(argument) as undo:
            if hook(argument, self.to_python(key)):
                self.tables.orders.revive(self.connection, key)
                return True
            undo()  # what the hook reserved before it found too little stock
        return False

    def _expired(self, keys: Iterable[Any]) -> None:
        """Call the shop's hooks with the expired rows, and record an event for each."""
        ordered = sorted(keys)
        if ordered and self.hooks.expire_hooks:
            with self.transactions.hook_argument(self.session, self.connection) as argument:
                for hook in self.hooks.expire_hooks:
                    hook(argument, [self.to_python(key) for key in ordered])
        self._record(map(self.tables.order_id, ordered), EventKind.EXPIRED, {})

    def _record(self, order_ids: Iterable[str], kind: EventKind, data: Mapping[str, Any]) -> None:
        if self.tables.outbox and (recorded := list(order_ids)):
            self.tables.outbox.record(self.connection, recorded, kind, data)

    def _refresh(self, key: Any) -> None:
        caller_transaction.refresh(self.session, self.tables.orders.orders.table.name, key)

    def _keys(self, order_ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, Verdict]]:
        """Return the ids as the id column holds them, and the verdicts on those that it cannot hold."""
        keys: dict[str, Any] = {}
        verdicts: dict[str, Verdict] = {}
        key_of = self.tables.key
        for order_id in order_ids:
            try:
                keys[order_id] = key_of(order_id)
            except InvalidOrderId as error:
                verdicts[order_id] = Verdict(Outcome.INVALID, reason=str(error))
        return keys, verdicts

    def _verdicts(self, keys: Mapping[str, Any], outcome: Outcome, late_by: Mapping[Any, float]) -> dict[str, Verdict]:
        """Return a verdict for each id: *outcome* for rows that were changed, the state of the others."""
        others = keys.values() - late_by.keys()
        found = self.tables.orders.look(self.connection, list(others), may_be_due=False) if others else {}
        return {
            order_id: Verdict(outcome, 0.0, -late_by[key]) if key in late_by else found.get(key, MISSING)
            for order_id, key in keys.items()
        }


def _log(payment: Payment, details: Mapping[str, str]) -> None:
    """Log a late payment, after the commit."""
    shown = ids.printable(payment.order_id)
    if payment.was_revived:
        fields = about("revived", [payment.order_id], **details)
        logger.info("order %s was expired and is now paid", shown, extra=fields)
        return
    fields = about("late_payment", [payment.order_id], **details)
    message = "payment for order %s is %s: refund it with the idempotency key %s"
    logger.warning(message, shown, payment.verdict.value, payment.refund_key, extra=fields)


def _details(reference: str | None) -> dict[str, str]:
    return {} if reference is None else {"reference": reference}
