"""The Celery side: ``celery -A tasks worker``, ``celery -A tasks beat``, ``celery -A tasks flower``."""

from tasks import checks
from tasks import logs as _logs  # noqa: F401 - connects to Celery's signals
from tasks.app import app
from tasks.deliver import deliver
from tasks.events import GroupedEvents, NoGossip
from tasks.expire import expire
from tasks.heartbeat import Heartbeat
from tasks.installing import install
from tasks.intake import Intake
from tasks.prune import prune
from tasks.reconcile import reconcile
from tasks.refusing import Refusal
from tasks.sweep import sweep
from tasks.tuning import Tuning
from tasks.watch import Watch

app.steps["worker"].add(NoGossip)
app.steps["consumer"].add(GroupedEvents)
app.steps["consumer"].add(Heartbeat)
app.steps["consumer"].add(Intake)
app.steps["consumer"].add(Refusal)
app.steps["consumer"].add(Tuning)
app.steps["consumer"].add(Watch)

__all__ = ["GroupedEvents", "app", "checks", "deliver", "expire", "install", "prune", "reconcile", "sweep"]
