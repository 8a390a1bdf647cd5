"""What happens to orders: the use cases of applications and workers, sweep, attempt, guard, reconcile and delivery."""

from orders.expiry.attempt import Attempt
from orders.expiry.explain import SAME, Explanation, explain_order
from orders.expiry.extend import Extended, extend_orders
from orders.expiry.pause import BRAKE, correct_pause, current_pause, pause_schedule, resume_schedule
from orders.expiry.reconcile import PAGE, Reconciled
from orders.expiry.result import SKEW
from orders.expiry.story import Step, timeline
from orders.expiry.sweep import Dispatch, run_sweep
from orders.expiry.use_cases import OrderExpiry
from orders.expiry.webhooks import webhook_tools

__all__ = [
    "BRAKE",
    "PAGE",
    "SAME",
    "SKEW",
    "Attempt",
    "Dispatch",
    "Explanation",
    "Extended",
    "OrderExpiry",
    "Reconciled",
    "Step",
    "correct_pause",
    "current_pause",
    "explain_order",
    "extend_orders",
    "pause_schedule",
    "resume_schedule",
    "run_sweep",
    "timeline",
    "webhook_tools",
]
