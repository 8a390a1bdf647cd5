"""What happens to orders in one transaction: the change of state, the shop's hooks, the events.

The locks are taken in this order: the orders' rows, by one statement; then what the hooks lock; then nothing. A
transaction of the shop's own that changes an order and, say, its stock does well to keep to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orders import ids
from orders.events import Event, EventKind
from orders.hooks import Hooks
from orders.logs import about
from orders.store import caller_transaction
from orders.store.outbox import Outbox
from orders.store.outcomes import Payment, PaymentVerdict, State
from orders.store.payments import Money
from orders.store.port import Joined
from orders.store.statements import Statements

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Tables:
    """What one database has: the orders, and the outbox if there is one."""

    orders: Statements
    outbox: Outbox | None

    def key(self, order_id: str) -> Any:
        """Return an id as the id column holds it; see `orders.store.orders_table.OrdersTable.key`."""
        return self.orders.orders.key(order_id)

    def member(self, key: Any) -> str:
        """Return the id of a row as the schedule names it."""
        return self.orders.orders.member(key)


@dataclass(frozen=True)
class Work:
    """One transaction, ours or the caller's."""

    connection: sa.Connection
    tables: Tables
    settings: Settings
    hooks: Hooks
    joined: Joined | None = None
    """The caller's session or connection, if the transaction is the caller's."""
    following: list[Callable[[], None]] = field(default_factory=list)
    """What is to be called after the commit."""

    def expire(self, keys: Sequence[Any]) -> Mapping[Any, float]:
        """Expire rows that are pending and due, and call the hooks with those; return for how long they were due."""
        expired = self.tables.orders.expire_due(self.connection, keys)
        if expired:
            ordered = sorted(expired)
            if self.hooks.expire_hooks:
                with self._given() as given:
                    for hook in self.hooks.expire_hooks:
                        hook(given, [self._known(key) for key in ordered])
            self._record(map(self.tables.member, ordered), EventKind.EXPIRED, {})
        return expired

    def settle_paid(self, keys: Sequence[Any]) -> set[Any]:
        """Mark pending rows as paid, because the guard says so; return their keys."""
        paid = self.tables.orders.pay(self.connection, keys)
        self._record(map(self.tables.member, sorted(paid)), EventKind.PAID, {"by": "guard"})
        return paid

    def extend(self, order_id: str, deadline: datetime, after_commit: Callable[[str], None] | None) -> bool:
        """Give a pending order another deadline; tell whether it was pending."""
        key = self.tables.key(order_id)
        if not self.tables.orders.extend(self.connection, key, deadline):
            return False
        self._record([self.tables.member(key)], EventKind.EXTENDED, {"deadline": deadline.isoformat()})
        self._finish(key, after_commit)
        return True

    def pay(self, order_id: str, reference: str | None, after_commit: Callable[[str], None] | None) -> Payment:
        """Mark an order as paid if it is pending; tell what became of the payment."""
        key = self.tables.key(order_id)
        payment = self._pay(key, reference)
        if payment.verdict is not PaymentVerdict.NOT_FOUND:
            self._finish(key, after_commit)
        return payment

    def _pay(self, key: Any, reference: str | None) -> Payment:
        order_id, strict = self.tables.member(key), self.settings.strict
        never_refused = ~self.tables.outbox.has_refused(order_id) if self.tables.outbox else None
        if self.tables.orders.pay(self.connection, [key], in_time=strict, only_if=never_refused):
            return self._accept(order_id, reference)
        # It was not to be paid then. With its row locked, what it is now it stays until we commit.
        row = self.tables.orders.row(self.connection, key, lock=True)
        if row is None:
            return Payment(order_id, PaymentVerdict.NOT_FOUND)
        money = Money(order_id, reference, self._payments(order_id))
        if row.is_pending and not money.was_refused:
            if strict and self.expire([key]):
                return self._refuse(key, money, State.EXPIRED, row.status)
            if self.tables.orders.pay(self.connection, [key]):
                return self._accept(order_id, reference)
        return self._refuse(key, money, row.state, row.status)

    def _accept(self, order_id: str, reference: str | None) -> Payment:
        self._record([order_id], EventKind.PAID, _about(reference))
        return Payment(order_id, PaymentVerdict.ACCEPTED)

    def _refuse(self, key: Any, money: Money, state: State, status: str) -> Payment:
        """Decide about money for an order that does not take it."""
        may_revive = state is State.EXPIRED and not money.was_refused and not money.was_accepted
        if may_revive and self._revive(key):
            self._record([money.order_id], EventKind.REVIVED, _about(money.reference))
            payment = Payment(money.order_id, PaymentVerdict.ACCEPTED, was_revived=True)
            self.following.append(partial(_log, payment, _about(money.reference)))
            return payment
        payment = money.judge(state, is_cancelled=status.rstrip() in self.settings.cancelled)
        if payment.refund_key and not money.was_refused:
            facts = {"verdict": payment.verdict.value, "refund_key": payment.refund_key, **_about(money.reference)}
            self._record([money.order_id], EventKind.LATE_PAYMENT, facts)
            self.following.append(partial(_log, payment, facts))
        if self.tables.outbox and money.accepted and money.names_the_accepted:
            self.tables.outbox.add(self.connection, money.accepted, _about(money.reference))
        return payment

    def _payments(self, order_id: str) -> Sequence[Event]:
        return self.tables.outbox.payments(self.connection, order_id) if self.tables.outbox else []

    def _revive(self, key: Any) -> bool:
        """Have the shop take its stock again; if it does, mark the expired order as paid."""
        hook = self.hooks.late_payment_hook
        if hook is None:
            return False
        with self._given() as given, self._savepoint(given) as undo:
            if hook(given, self._known(key)):
                self.tables.orders.revive(self.connection, key)
                return True
            undo()  # what it took before it found too little
        return False

    @contextmanager
    def _given(self) -> Iterator[Any]:
        """Yield what hooks are given to work with in this transaction."""
        with caller_transaction.session_of(self.joined, self.connection) as session:
            yield session

    @contextmanager
    def _savepoint(self, given: Any) -> Iterator[Callable[[], None]]:
        """Yield what undoes all that happens in here."""
        with given.begin_nested() as nested:
            yield nested.rollback

    def _known(self, key: Any) -> Any:
        """Return an id as hooks know it."""
        return key

    def _record(self, order_ids: Iterable[str], kind: EventKind, data: Mapping[str, Any]) -> None:
        if self.tables.outbox:
            self.tables.outbox.record(self.connection, list(order_ids), kind, data)

    def _finish(self, key: Any, after_commit: Callable[[str], None] | None) -> None:
        caller_transaction.refresh(self.joined, self.tables.orders.orders.table.name, key)
        if after_commit:
            self.following.append(partial(after_commit, self.tables.member(key)))


def _log(payment: Payment, facts: Mapping[str, str]) -> None:
    """Say that money came late, once that has been committed."""
    named = ids.printable(payment.order_id)
    if payment.was_revived:
        told = about("revived", [payment.order_id], **facts)
        logger.info("the order %s was expired, and is paid after all", named, extra=told)
        return
    told = about("late_payment", [payment.order_id], **facts)
    message = "a payment of the order %s is %s: refund it with the idempotency key %s"
    logger.warning(message, named, payment.verdict.value, payment.refund_key, extra=told)


def _about(reference: str | None) -> dict[str, str]:
    return {} if reference is None else {"reference": reference}
