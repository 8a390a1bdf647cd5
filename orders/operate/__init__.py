"""The operator's side, for the command line, the admin pages and metrics."""

from orders.operate.audit import Audit, Case, Lateness, Wrong, WrongKind, audit_orders
from orders.operate.forecast import Bar, Forecast, forecast_orders
from orders.operate.history import Bucket
from orders.operate.lists import Item, Overview, Page, Reason, Where
from orders.operate.operations import Operations
from orders.operate.shadow import what_hides
from orders.operate.webhooks import (
    NO_WEBHOOKS,
    EndpointState,
    Trial,
    endpoint_states,
    endpoints_named,
    post_trial,
)
from orders.operate.wording import counted, plain

__all__ = [
    "NO_WEBHOOKS",
    "Audit",
    "Bar",
    "Bucket",
    "Case",
    "EndpointState",
    "Forecast",
    "Item",
    "Lateness",
    "Operations",
    "Overview",
    "Page",
    "Reason",
    "Trial",
    "Where",
    "Wrong",
    "WrongKind",
    "audit_orders",
    "counted",
    "endpoint_states",
    "endpoints_named",
    "forecast_orders",
    "plain",
    "post_trial",
    "what_hides",
]
