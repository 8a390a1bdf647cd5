"""The audit: proves from rows, events and the schedule that every order ended as it should, or says which did not."""

from orders.operate.audit.audit import Audit, audit_orders
from orders.operate.audit.lateness import Lateness
from orders.operate.audit.wrongs import Case, Wrong, WrongKind

__all__ = ["Audit", "Case", "Lateness", "Wrong", "WrongKind", "audit_orders"]
