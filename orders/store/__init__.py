"""The orders table and the events table: all SQL statements on them, and the transactions in which they run."""

from orders.store.caller_transaction import after_commit, awaited
from orders.store.conflicts import without_conflict
from orders.store.engine import MYSQL, create_engine
from orders.store.orders_table import IdType
from orders.store.outbox import Outbox
from orders.store.outcomes import Outcome, Payment, PaymentVerdict, Pending, Postponed, Row, State, Verdict
from orders.store.port import Joined, OrderStore, Transactions
from orders.store.sql_errors import judge
from orders.store.sql_store import SqlStore
from orders.store.transactions import SqlTransactions
from orders.store.unit_of_work import Tables

__all__ = [
    "MYSQL",
    "IdType",
    "Joined",
    "OrderStore",
    "Outbox",
    "Outcome",
    "Payment",
    "PaymentVerdict",
    "Pending",
    "Postponed",
    "Row",
    "SqlStore",
    "SqlTransactions",
    "State",
    "Tables",
    "Transactions",
    "Verdict",
    "after_commit",
    "awaited",
    "create_engine",
    "judge",
    "without_conflict",
]
