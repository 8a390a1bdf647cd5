"""The Celery side: ``celery -A tasks worker``, ``celery -A tasks beat``, ``celery -A tasks flower``."""

import sys

try:
    from orders.names import NAME as _NAME  # noqa: F401 - is missing if `orders` is not ours
except ModuleNotFoundError as error:
    if error.name != "orders.names":
        raise
    raise ImportError(
        f"{sys.modules['orders']!r} hides the package of order-expiry. Write `order_expiry` for `orders` in imports "
        "and in INSTALLED_APPS, `order_expiry.tasks` for `tasks`, and start Celery with --app=order_expiry.tasks"
    ) from error

from tasks import beat as _beat  # noqa: F401 - connects to Celery's signals
from tasks import checks
from tasks.app import app
from tasks.connections import leave_replicas
from tasks.deliver import deliver
from tasks.expire import expire
from tasks.installation import install
from tasks.prune import prune
from tasks.reconcile import reconcile
from tasks.sweep import sweep
from tasks.wiring import Wiring
from tasks.worker import logs as _logs  # noqa: F401 - connects to Celery's signals
from tasks.worker.events import GroupedEvents, NoGossip
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.intake import Intake
from tasks.worker.interpreter import Tuning
from tasks.worker.recovery import Recovery
from tasks.worker.rejection import Rejection
from tasks.worker.stall import Stall
from tasks.worker.watch import Watch

leave_replicas()
app.steps["worker"].add(NoGossip)
app.steps["consumer"].add(GroupedEvents)
app.steps["consumer"].add(Heartbeat)
app.steps["consumer"].add(Intake)
app.steps["consumer"].add(Recovery)
app.steps["consumer"].add(Rejection)
app.steps["consumer"].add(Stall)
app.steps["consumer"].add(Tuning)
app.steps["consumer"].add(Watch)
app.steps["consumer"].add(Wiring)

__all__ = ["GroupedEvents", "app", "checks", "deliver", "expire", "install", "prune", "reconcile", "sweep"]
