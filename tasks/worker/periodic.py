"""The tasks that beat sends: their messages become void, and their runs are noted for `tasks.worker.watch`."""

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from celery import Celery
from celery.schedules import maybe_schedule, schedule

import orders
from orders.errors import ScheduleError
from orders.logs import about
from tasks.worker.clock import TimedTask

logger = logging.getLogger(__name__)

MISSED = 3
"""Intervals without a run after which beat counts as dead, and a waiting message is void."""

RESCUE = "orders_rescue"
"""The header of a message that a worker has sent in place of beat."""


class PeriodicTask(TimedTask):
    """A task that beat sends, with any scheduler."""

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send a message that is void after `MISSED` intervals, so that messages do not pile up without a worker.

        It expires by Redis's clock, as a worker reads it (`tasks.worker.clock`). If Redis cannot tell the time, the
        message does not expire.
        """
        every = intervals(self.app).get(self.name)
        if every and options.get("expires") is None:
            try:
                void_at = orders.current().schedule.now() + MISSED * every
                options["expires"] = datetime.fromtimestamp(void_at, UTC)
            except ScheduleError as error:
                extra = about("redis_unavailable", error=str(error))
                message = "cannot read Redis's clock, so %s is sent without expiry: %s"
                logger.warning(message, self.name, error, extra=extra)
        return super().apply_async(args, kwargs, **options)

    def before_start(self, task_id: str, args: Any, kwargs: Any) -> None:  # noqa: ARG002 - Celery's signature
        """Note the run. The sweep of a shard is none: another task has sent it."""
        if kwargs.get("shard") is None:
            try:
                orders.current().schedule.note_run(self.name, is_rescue=bool(getattr(self.request, RESCUE, False)))
            except ScheduleError as error:
                extra = about("redis_unavailable", error=str(error))
                logger.warning("cannot note in Redis that %s runs: %s", self.name, error, extra=extra)


def intervals(app: Celery) -> Mapping[str, float]:
    """Return the periodic tasks of an app, and the seconds between two runs by its ``beat_schedule``.

    Tasks without an entry, or with a crontab, are left out; but there is always a sweep.
    """
    found = {"orders.sweep": orders.current().settings.sweep_interval}
    for entry in (app.conf.beat_schedule or {}).values():
        every = maybe_schedule(entry["schedule"])
        if isinstance(every, schedule) and isinstance(app.tasks.get(entry["task"]), PeriodicTask):
            found[entry["task"]] = every.run_every.total_seconds()
    return found
