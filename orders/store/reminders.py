"""Record the reminders of orders: once for each order, deadline and time before it.

The rows are locked first. Whoever pays, extends or cancels one of these orders, or reminds of it too, comes before or
after; so the events that are read then are all that there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orders.errors import SchemaError
from orders.events import EventKind
from orders.store.outcomes import Outcome, Verdict
from orders.store.statements import MISSING

if TYPE_CHECKING:
    from orders.store.unit_of_work import UnitOfWork


def remind(unit: UnitOfWork, order_ids: Sequence[str]) -> Mapping[str, Verdict]:
    """Record the last reminder whose time has come, unless there is one; see `orders.store.OrderStore.remind`."""
    keys, verdicts = unit.keys(order_ids)
    outbox, reminders = unit.tables.outbox, unit.settings.reminders
    if outbox is None:
        raise SchemaError(
            f"ORDERS_REMIND is set, but the database has no table {unit.settings.events_table!r}, which holds the "
            "reminders: create it with `orders init-db` and restart all processes"
        )
    found = unit.tables.orders.lock_not_due(unit.connection, sorted(set(keys.values())))
    due: dict[str, dict[str, Any]] = {}
    for key, (verdict, deadline) in found.items():
        before = reminders.passed(verdict.wait)
        if before is not None and verdict.outcome is Outcome.NOT_DUE:
            due[unit.tables.order_id(key)] = {"deadline": deadline.isoformat(), "before": before}
    if due:
        known = outbox.reminders(unit.connection, list(due))
        due = {order_id: data for order_id, data in due.items() if data not in known.get(order_id, ())}
    if due:
        outbox.record(unit.connection, EventKind.REMINDER, sorted(due.items()))
    # Others have been paid or have fallen due since the caller looked at them.
    gone = list(keys.values() - found.keys())
    others = unit.tables.orders.look(unit.connection, gone, may_be_due=False) if gone else {}
    for order_id, key in keys.items():
        verdict, _ = found.get(key) or (others.get(key, MISSING), None)
        if unit.tables.order_id(key) in due:
            verdict = verdict._replace(outcome=Outcome.REMINDED)
        elif verdict.outcome is Outcome.KEPT and key in found:  # it may not be kept any more at its deadline
            verdict = verdict._replace(outcome=Outcome.NOT_DUE)
        verdicts[order_id] = verdict
    return verdicts
