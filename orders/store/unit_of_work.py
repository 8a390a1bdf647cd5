"""Everything that happens to orders in one transaction: the change of state, the shop's hooks, the events.

Locks are taken in this order: first the rows of the orders, by one statement; then whatever the hooks lock. The shop's
own transactions should lock in the same order, e.g. first an order and then its stock.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from orders import ids
from orders.errors import InvalidOrderId, StoreError
from orders.events import Event, EventKind
from orders.hooks import Hooks, call_expire_hook, call_late_payment_hook
from orders.logs import about
from orders.store import caller_transaction
from orders.store.outbox import Outbox
from orders.store.outcomes import Outcome, Page, Payment, PaymentVerdict, Pending, State, Verdict
from orders.store.payments import Money
from orders.store.port import Joined, Transactions
from orders.store.statements import MISSING, UNCHANGED, Statements
from orders.store.webhooks import Webhooks

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

MAX_REASON_LENGTH = 255
"""Characters of the reason for a cancellation."""


@dataclass(frozen=True)
class Tables:
    """The tables of one database: the orders, and those of events and of webhooks if there are any."""

    orders: Statements
    outbox: Outbox | None
    webhooks: Webhooks | None

    @property
    def key(self) -> Callable[[str], Any]:
        """See `orders.store.orders_table.OrdersTable.key`."""
        return self.orders.orders.key

    @property
    def order_id(self) -> Callable[[Any], str]:
        """See `orders.store.orders_table.OrdersTable.order_id`."""
        return self.orders.orders.order_id


@dataclass
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
    find_again: Callable[[], Tables]
    """Looks at the tables again."""
    after_commit: list[Callable[[], object]] = field(default_factory=list)
    """Callbacks to run after the commit."""

    def key(self, order_id: str) -> Any:
        """Return an order id as the id column holds it. If it cannot, look again: the column may have been altered.

        Raises:
            InvalidOrderId: the column cannot hold it.
        """
        try:
            return self.tables.key(order_id)
        except InvalidOrderId:
            self.tables = self.find_again()
            return self.tables.key(order_id)

    def expire(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Expire the orders that are pending and due, and call the hooks with them; return a verdict for each id."""
        keys, verdicts = self.keys(order_ids)
        late_by = self.tables.orders.expire_due(self.connection, sorted(set(keys.values())))
        self._closed(late_by, EventKind.EXPIRED, {})
        return {**verdicts, **self._verdicts(keys, Outcome.EXPIRED, late_by)}

    def settle_paid(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Mark the pending orders as paid, because the guard says so; return a verdict for each id."""
        keys, verdicts = self.keys(order_ids)
        paid = self.tables.orders.pay(self.connection, sorted(set(keys.values())))
        self._record(map(self.tables.order_id, sorted(paid)), EventKind.PAID, {"by": "guard"})
        return {**verdicts, **self._verdicts(keys, Outcome.PAID, dict.fromkeys(paid, 0.0))}

    def look(self, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
        """Return a verdict for each id; change nothing."""
        keys, verdicts = self.keys(order_ids)
        found = self.tables.orders.look(self.connection, list(set(keys.values())), may_be_due=True)
        return {**verdicts, **{order_id: found.get(key, MISSING) for order_id, key in keys.items()}}

    def extend(self, order_id: str, deadline: datetime) -> str | None:
        """Give a pending order another deadline; return its id as in the schedule, None if it was not pending."""
        key = self.key(order_id)
        if not self.tables.orders.extend(self.connection, key, deadline):
            return None
        order_id = self.tables.order_id(key)
        self._record([order_id], EventKind.EXTENDED, {"deadline": deadline.isoformat()})
        self._refresh(key)
        return order_id

    def hold(self, order_id: str, deadline: datetime, by: str) -> Pending | None:
        """Give a pending order a later deadline, never an earlier one; return its row, None if it is not pending."""
        key = self.key(order_id)
        order_id = self.tables.order_id(key)
        if self.tables.orders.hold(self.connection, key, deadline):
            self._record([order_id], EventKind.EXTENDED, {"deadline": deadline.isoformat(), "by": by})
            self._refresh(key)
        row = self.tables.orders.row(self.connection, key, lock=True)
        return Pending(order_id, row.deadline, key) if row and row.is_pending and row.deadline else None

    def extend_page(
        self, later: Callable[[Pending], datetime], page: Page, by: str
    ) -> Sequence[tuple[Pending, datetime]]:
        """Give a page of pending orders later deadlines; see `OrderStore.extend_page`."""
        orders = self.tables.orders
        extended = [(row, later(row)) for row in orders.lock(self.connection, page)]
        if extended:
            orders.set_deadlines(self.connection, {row.key: deadline for row, deadline in extended})
        if extended and self.tables.outbox:
            new = ((row.order_id, deadline.isoformat()) for row, deadline in extended)
            data = [(order_id, {"deadline": deadline, "by": by}) for order_id, deadline in new]
            self.tables.outbox.record(self.connection, EventKind.EXTENDED, data)
        return extended

    def cancel(self, order_id: str, reason: str) -> str | None:
        """Cancel a pending order, and call the expire hooks; return its id as in the schedule, None if not pending.

        Raises:
            ValueError: *reason* is not a text of 1 to `MAX_REASON_LENGTH` characters.
        """
        if not isinstance(reason, str) or not 1 <= len(reason) <= MAX_REASON_LENGTH:
            raise ValueError(f"reason is {reason!r}: it must be a text of 1 to {MAX_REASON_LENGTH} characters")
        key = self.key(order_id)
        if not self.tables.orders.cancel(self.connection, key):
            return None
        self._closed([key], EventKind.CANCELLED, {"reason": reason})
        self._refresh(key)
        return self.tables.order_id(key)

    def pay(self, order_id: str, reference: str | None) -> Payment:
        """Mark an order as paid if it is pending; return what became of the payment."""
        key = self.key(order_id)
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
                self._closed(late_by, EventKind.EXPIRED, {})
                return self._refuse(key, money, State.EXPIRED, row.status)
            if self.tables.orders.pay(self.connection, [key]):
                return self._accept(order_id, reference)
            raise StoreError(f"the payment for order {order_id} is neither accepted nor refused: {UNCHANGED}")
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
            if call_late_payment_hook(hook, argument, self.to_python(key)):
                self.tables.orders.revive(self.connection, key)
                return True
            undo()  # what the hook reserved before it found too little stock
        return False

    def _closed(self, keys: Collection[Any], kind: EventKind, data: dict[str, Any]) -> None:
        """Record an event for each row that is now expired or cancelled, and call the shop's hooks with all of them."""
        outbox, hooks, order_id = self.tables.outbox, self.hooks.expire_hooks, self.tables.order_id
        if not keys or not (outbox or hooks):
            return
        by_id = {order_id(key): key for key in sorted(keys)}
        again = outbox.record_closed(self.connection, list(by_id), kind, data) if outbox else ()
        if hooks:
            details = {
                "reason": data.get("reason", kind.value),
                "again": frozenset(self.to_python(by_id[order_id]) for order_id in again),
            }
            with self.transactions.hook_argument(self.session, self.connection) as argument:
                for hook in hooks:
                    call_expire_hook(hook, argument, [self.to_python(key) for key in by_id.values()], **details)
            # Fails if a hook has rolled back, or has caught an error of the database that undoes all at the commit.
            self.connection.execute(sa.select(1))
        if again:
            self.after_commit.append(partial(_warn, again))

    def _record(self, order_ids: Iterable[str], kind: EventKind, data: Mapping[str, Any]) -> None:
        if self.tables.outbox:
            self.tables.outbox.record(self.connection, kind, [(order_id, data) for order_id in order_ids])

    def _refresh(self, key: Any) -> None:
        caller_transaction.refresh(self.session, self.tables.orders.orders.table.name, key)

    def keys(self, order_ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, Verdict]]:
        """Return the ids as the id column holds them, and the verdicts on those that it cannot hold."""
        keys, verdicts = self._parsed(order_ids)
        if verdicts:
            self.tables = self.find_again()
            keys, verdicts = self._parsed(order_ids)
        return keys, verdicts

    def _parsed(self, order_ids: Sequence[str]) -> tuple[dict[str, Any], dict[str, Verdict]]:
        keys, verdicts, key_of = dict[str, Any](), dict[str, Verdict](), self.tables.key
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


def _warn(order_ids: Sequence[str]) -> None:
    """Log orders that have expired more than once, after the commit."""
    named = ", ".join(ids.all_printable(order_ids))
    message = "expired again: %s. Somebody made these orders pending after they had expired: see `again` of on_expire"
    logger.warning(message, named, extra=about("expired_again", order_ids))


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
