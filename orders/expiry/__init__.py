"""What happens to orders: the use cases of applications and workers, sweep, attempt, guard, reconcile and delivery."""

from orders.expiry.attempt import SKEW, Attempt
from orders.expiry.explain import Explanation, explain_order
from orders.expiry.reconcile import PAGE
from orders.expiry.sweep import Dispatch, run_sweep
from orders.expiry.use_cases import OrderExpiry

__all__ = ["PAGE", "SKEW", "Attempt", "Dispatch", "Explanation", "OrderExpiry", "explain_order", "run_sweep"]
