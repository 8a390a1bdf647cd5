"""What beat does for our tasks, in our app or in a shop's own, with any scheduler."""

import logging
import time
from datetime import timedelta
from typing import Any

from celery.beat import Scheduler
from celery.schedules import schedule
from celery.signals import beat_init

from orders.logs import about
from tasks.wiring import report_missing_entries, report_routes
from tasks.worker.heartbeat import touch
from tasks.worker.periodic import PeriodicTask

logger = logging.getLogger(__name__)

STEP = 1.0
"""Seconds by which a clock may be set back before it counts as a step."""


@beat_init.connect
def prepare(sender: Any, **_: object) -> None:
    """Send all but reconcile at once, not one interval after the start; touch the heartbeat file; follow the clock.

    Reconcile would read every overdue row while the first sweep claims them: with 200,000 orders due, that slowed the
    workers by a third and more. If beat never runs for as long as its interval, a worker sends it.
    """
    app, scheduler = sender.app, sender.scheduler
    if not isinstance(app.tasks.get("orders.sweep"), PeriodicTask):
        return  # beat of an app without our tasks
    report_missing_entries(app)
    report_routes(app)
    clock, tick = FollowedClock(scheduler), scheduler.tick

    def follow_and_tick(*arguments: Any, **options: Any) -> Any:
        touch()
        clock.follow()
        return tick(*arguments, **options)

    scheduler.tick = follow_and_tick
    for entry in app.conf.beat_schedule.values():
        if entry["task"] != "orders.reconcile" and isinstance(task := app.tasks.get(entry["task"]), PeriodicTask):
            task.apply_async(entry.get("args"), entry.get("kwargs"), **entry.get("options", {}))


class FollowedClock:
    """Notices that this host's clock was set back, and moves the entries of a scheduler with it.

    Beat compares times of the host's clock. After a step back it would send nothing until the clock has caught up.

    Args:
        scheduler: the scheduler.
    """

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._offset = time.time() - time.monotonic()

    def follow(self) -> None:
        """Move the last runs of entries with an interval, if the clock was set back since the last call."""
        before, self._offset = self._offset, time.time() - time.monotonic()
        back = before - self._offset
        if back > STEP:
            logger.warning(
                "this host's clock was set back by %.1f s: beat goes on", back, extra=about("clock_set_back", back=back)
            )
            for entry in self._scheduler.schedule.values():
                if isinstance(entry.schedule, schedule):
                    entry.last_run_at -= timedelta(seconds=back)
            self._scheduler.populate_heap()
