"""The orders table and the events table: all SQL statements on them, and the transactions in which they run."""

from orders.store.caller_transaction import after_commit, awaited
from orders.store.conditions import ToExpression, of_hook
from orders.store.conflicts import without_conflict
from orders.store.deliveries import Deliveries, Delivery, Progress, Rest, Unsent
from orders.store.engine import MYSQL, READ_COMMITTED, create_engine
from orders.store.orders_table import IdType
from orders.store.outbox import CLOSING, Outbox
from orders.store.outcomes import (
    Expected,
    Found,
    Outcome,
    Page,
    Pause,
    Payment,
    PaymentVerdict,
    Pending,
    Postponed,
    Row,
    State,
    Verdict,
    Window,
)
from orders.store.port import Joined, OrderStore, Transactions
from orders.store.sql_errors import TableAltered, judge, unsent
from orders.store.sql_store import SqlStore
from orders.store.statements import UNCHANGED
from orders.store.transactions import SqlTransactions
from orders.store.unit_of_work import Tables
from orders.store.webhooks import Webhooks

__all__ = [
    "CLOSING",
    "MYSQL",
    "READ_COMMITTED",
    "UNCHANGED",
    "Deliveries",
    "Delivery",
    "Expected",
    "Found",
    "IdType",
    "Joined",
    "OrderStore",
    "Outbox",
    "Outcome",
    "Page",
    "Pause",
    "Payment",
    "PaymentVerdict",
    "Pending",
    "Postponed",
    "Progress",
    "Rest",
    "Row",
    "SqlStore",
    "SqlTransactions",
    "State",
    "TableAltered",
    "Tables",
    "ToExpression",
    "Transactions",
    "Unsent",
    "Verdict",
    "Webhooks",
    "Window",
    "after_commit",
    "awaited",
    "create_engine",
    "judge",
    "of_hook",
    "unsent",
    "without_conflict",
]
