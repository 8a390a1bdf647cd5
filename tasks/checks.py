"""The checks of ``orders doctor`` on the broker and the workers; see `orders.operate.doctor`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from celery.worker.control import inspect_command
from kombu.exceptions import OperationalError

import orders
from orders import names
from orders.errors import ScheduleError, StoreError
from orders.expiry import OrderExpiry
from orders.operate import what_hides
from orders.operate.doctor import BROKER, REDIS, Check, Finding, Patient, Unreachable, error, ok, unknown, warning
from tasks.app import app as ours
from tasks.app import serving
from tasks.broker import waiting
from tasks.wiring import missing_entries, queues_of_tasks, settings_of

PATIENCE = 2.0
"""Seconds to wait for workers to answer."""

SECRET = {"redis_url", "broker_url", "database_url", "web_login", "webhook_url", "webhook_secret"}
"""Settings that workers do not return."""

OWN = {"log_format", "heartbeat_file", "guard_parallel", "events_parallel", "slo", "web_read_only"}
"""Settings that may differ between processes."""


@inspect_command()
def orders_worker(_: Any) -> dict[str, Any]:
    """Return the version, the hooks, the endpoints and the settings of a worker, without URLs and secrets."""
    return _description(orders.current())


def _description(expiry: OrderExpiry) -> dict[str, Any]:
    hooks, settings = expiry.hooks, expiry.settings.model_dump(mode="json", exclude=SECRET | OWN)
    return {
        "version": version("order-expiry"),
        "hooks": {
            "on_expire": len(hooks.expire_hooks),
            "on_event": len(hooks.event_hooks),
            "guard": hooks.guard_hook is not None,
            "on_late_payment": hooks.late_payment_hook is not None,
            "condition": hooks.condition_hook is not None,
        },
        "webhooks": [endpoint.name for endpoint in expiry.settings.webhooks],
        "settings": {name: str(value) for name, value in settings.items()},
        "database": expiry.ownership.mine or expiry.ownership.place,
    }


def check_broker(patient: Patient) -> Iterator[Finding]:
    """Check that the broker answers, and count the messages in each queue."""
    app, settings = serving(), patient.settings
    with app.connection_for_write(connect_timeout=PATIENCE) as connection:
        connection.ensure_connection(max_retries=1, timeout=PATIENCE)
        messages = {
            queue: waiting(app.amqp.queues[name], connection.default_channel) for queue, name in settings.queues.items()
        }
    names = {queue: f"{settings.queues[queue]} {number:,}" for queue, number in messages.items()}
    found = "waiting messages: " + ", ".join(names.values())
    if messages["orders.expire"] >= settings.max_backlog:
        advice = "Workers are behind: start more. Sweeps send no more messages than ORDERS_MAX_BACKLOG ahead of them."
        yield warning("celery.queues", found, advice)
    elif messages["orders.sweep"] > 10 * len(patient.expiry.schedule.shards):
        yield warning("celery.queues", found, f"Is there a worker for the queue {settings.queues['orders.sweep']}?")
    else:
        yield ok("celery.queues", found)


def check_workers(_: Patient) -> Iterator[Finding]:
    """Check that each queue to which our tasks are sent has a worker."""
    app = serving()
    active = app.control.inspect(timeout=PATIENCE).active_queues() or {}
    consumed: dict[str, list[str]] = defaultdict(list)
    for worker, queues in active.items():
        for queue in queues:
            consumed[queue["name"]].append(worker)
    tasks: dict[str, list[str]] = defaultdict(list)
    for task, name in queues_of_tasks(app).items():
        tasks[name].append(task)
    queues = sorted(tasks.items(), reverse=True)  # sweeps first, events last
    for name, _ in queues:
        if workers := consumed[name]:
            yield ok("celery.workers", f"workers for the queue {name}: {len(workers)}")
    lacking = [(name, sent) for name, sent in queues if not consumed[name]]
    if lacking:
        listed = "; ".join(f"for the queue {name}, to which {', '.join(sent)} are sent" for name, sent in lacking)
        command = "celery -A tasks worker" if app is ours else "a worker of your app"
        command += f" -Q {','.join(name for name, _ in lacking)}"
        advice = f"Start one: {command}. Without -Q, a worker consumes all queues in task_queues."
        if not active and app is ours:
            advice += (
                f" No worker answers at {app.connection_for_read().as_uri()}: if you have installed the tasks in a "
                "Celery app of yours, this process must import it, for example by ORDERS_HOOKS."
            )
        found = f"no worker answers {listed}"
        yield error("celery.workers", found, what_hides(names.TASKS) or f"{advice}{_others(active)}")


def check_entries(_: Patient) -> Iterator[Finding]:
    """Check that beat sends all our tasks."""
    missing = missing_entries(serving())
    if missing:
        found = f"{settings_of(serving())} have no entry in beat_schedule for {', '.join(missing)}"
        yield error("celery.beat", found, "Add them, or call tasks.install(app) after you assign beat_schedule.")
    else:
        yield ok("celery.beat", "beat_schedule has an entry for each task")


def _others(active: Mapping[str, Any]) -> str:
    """Return a sentence about the workers that answer, if any."""
    if not active:
        return ""
    listed = "; ".join(
        f"{worker} consumes {', '.join(queue['name'] for queue in queues)}" for worker, queues in sorted(active.items())
    )
    return (
        f" There are others: {listed}. If one of these is meant to run our tasks, look in its working directory: a "
        "tasks.py or a celeryconfig.py there hides ours."
    )


def check_agreement(patient: Patient) -> Iterator[Finding]:
    """Compare the hooks, settings and versions of the workers with those of this process."""
    replies = serving().control.broadcast("orders_worker", reply=True, timeout=PATIENCE) or []
    answers: dict[str, Any] = {worker: answer for reply in replies for worker, answer in reply.items()}
    with suppress(StoreError, ScheduleError):  # other checks tell
        patient.expiry.ownership.owner()
    mine = _description(patient.expiry)
    # Workers with another ORDERS_KEY belong to another deployment that shares the broker.
    key = mine["settings"]["key"]
    workers = {name: each for name, each in answers.items() if each.get("settings", {}).get("key", key) == key}
    if not workers:
        yield unknown("celery.agreement", "no worker answers, so there is nothing to compare with this process")
        return
    differing: list[str] = []
    for worker, answer in workers.items():
        differing += [
            f"{worker} has {name} {answer.get(name)}, this process {mine[name]}"
            for name in ("version", "hooks", "webhooks")
            if answer.get(name) != mine[name]
        ]
        if (theirs := answer.get("database")) and mine["database"] and theirs != mine["database"]:
            differing.append(f"{worker} has the {theirs}, this process the {mine['database']}")
        settings = answer.get("settings", {})
        differing += [
            f"{worker} has ORDERS_{name.upper()} {settings.get(name)}, this process {value}"
            for name, value in mine["settings"].items()
            if settings.get(name) != value
        ]
    if differing:
        advice = "Give all processes the same release and ORDERS_* settings, including ORDERS_HOOKS, then restart them."
        yield error("celery.agreement", "; ".join(differing[:10]), advice)
    else:
        found = f"all workers ({len(workers)}) have the hooks, settings and release of this process"
        yield ok("celery.agreement", found)


def _with_broker(check: Check) -> Check:
    """Return a check that reports a broker that cannot be reached as such."""

    def run(patient: Patient) -> Iterator[Finding]:
        app = serving()
        connection = app.connection_for_read()
        try:
            yield from check(patient)
        except (OperationalError, *connection.connection_errors, *connection.channel_errors) as problem:
            is_schedules = _address(connection.as_uri()) == _address(patient.settings.redis_url)
            server, where = (REDIS, "Redis") if is_schedules else (BROKER, "the broker")
            raise Unreachable(server, f"{where} at {connection.as_uri()}: {problem}") from problem

    return run


def _address(url: str) -> tuple[str | None, int | None]:
    """Return the host and the port of a URL: a broker on the Redis of the schedule is not one more server."""
    parts = urlsplit(url)
    return parts.hostname, parts.port


CHECKS: Mapping[str, Check] = {
    "celery.queues": _with_broker(check_broker),
    "celery.workers": _with_broker(check_workers),
    "celery.beat": check_entries,
    "celery.agreement": _with_broker(check_agreement),
}
