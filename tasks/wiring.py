"""Whether an app's own settings send our tasks to where nobody looks, or leave them out of beat's schedule."""

import logging
import sys
from collections.abc import Mapping
from typing import Any

from celery import Celery, bootsteps

import orders
from orders.logs import about
from orders.names import CELERYCONFIG
from tasks.app import app as ours
from tasks.worker.clock import TimedTask
from tasks.worker.periodic import PeriodicTask

logger = logging.getLogger(__name__)


def queues_of_tasks(app: Celery) -> Mapping[str, str]:
    """Return each of our tasks with the name of the queue to which the app's settings route it."""
    names = sorted(name for name, task in app.tasks.items() if isinstance(task, TimedTask))
    return {name: app.amqp.router.route({}, name)["queue"].name for name in names}


def settings_of(app: Celery) -> str:
    """Return where the settings of an app come from, for an error message."""
    if app is ours:
        module = sys.modules.get(CELERYCONFIG)
        return f"Celery's settings, from {getattr(module, '__file__', CELERYCONFIG)},"
    return f"the settings of the Celery app {app.main!r}"


def report_routes(app: Celery, consumed: frozenset[str] = frozenset()) -> None:
    """Log our tasks that go to other queues than ours, unless they are *consumed*."""
    known = {*orders.current().settings.queues.values(), *consumed}
    astray: dict[str, list[str]] = {}
    for task, queue in queues_of_tasks(app).items():
        if queue not in known:
            astray.setdefault(queue, []).append(task)
    for queue, names in astray.items():
        logger.error(
            "%s send %s to the queue %r: a worker must consume that queue (-Q %s), or a route must send them to ours",
            settings_of(app),
            ", ".join(names),
            queue,
            queue,
            extra=about("routed_astray", queue=queue, tasks=names),
        )


def missing_entries(app: Celery) -> list[str]:
    """Return the periodic tasks of ours that ``beat_schedule`` does not have."""
    scheduled = {entry["task"] for entry in (app.conf.beat_schedule or {}).values()}
    periodic = sorted(name for name, task in app.tasks.items() if isinstance(task, PeriodicTask))
    return [name for name in periodic if name not in scheduled]


def report_missing_entries(app: Celery) -> None:
    """Log the periodic tasks of ours that ``beat_schedule`` does not have."""
    if missing := missing_entries(app):
        logger.error(
            "%s have no entry in beat_schedule for %s, so beat does not send them",
            settings_of(app),
            ", ".join(missing),
            extra=about("not_in_beat_schedule", tasks=missing),
        )


class Wiring(bootsteps.StartStopStep):
    """Logs, when a worker starts, which of our tasks are sent to where neither it nor our other workers look."""

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, _: Any, **__: Any) -> None:
        pass

    def start(self, consumer: Any) -> None:
        """Look at the routes; called by Celery when the worker consumes."""
        report_routes(consumer.app, frozenset(queue.name for queue in consumer.task_consumer.queues))
