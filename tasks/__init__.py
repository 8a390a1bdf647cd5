"""The Celery side: ``celery -A tasks worker``, ``celery -A tasks beat``, ``celery -A tasks flower``."""

from tasks import checks
from tasks.app import app
from tasks.deliver import deliver
from tasks.expire import expire
from tasks.installation import install
from tasks.prune import prune
from tasks.reconcile import reconcile
from tasks.sweep import sweep
from tasks.worker import logs as _logs  # noqa: F401 - connects to Celery's signals
from tasks.worker.events import GroupedEvents, NoGossip
from tasks.worker.heartbeat import Heartbeat
from tasks.worker.intake import Intake
from tasks.worker.interpreter import Tuning
from tasks.worker.rejection import Rejection
from tasks.worker.watch import Watch

app.steps["worker"].add(NoGossip)
app.steps["consumer"].add(GroupedEvents)
app.steps["consumer"].add(Heartbeat)
app.steps["consumer"].add(Intake)
app.steps["consumer"].add(Rejection)
app.steps["consumer"].add(Tuning)
app.steps["consumer"].add(Watch)

__all__ = ["GroupedEvents", "app", "checks", "deliver", "expire", "install", "prune", "reconcile", "sweep"]
