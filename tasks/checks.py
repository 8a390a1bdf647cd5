"""The checks of ``orders doctor`` on the broker and the workers; see `orders.operate.doctor`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from celery.worker.control import inspect_command

import orders
from orders.operate.doctor import Check, Finding, Patient, error, ok, unknown, warning
from tasks.app import app

QUEUES = ("orders.sweep", "orders.expire", "orders.events")

PATIENCE = 2.0
"""Seconds to wait for workers to answer."""

SECRET = {"redis_url", "broker_url", "database_url"}
"""Settings that workers do not return."""

OWN = {"log_format", "guard_parallel", "events_parallel"}
"""Settings that may differ between workers."""


@inspect_command()
def orders_worker(_: Any) -> dict[str, Any]:
    """Return the version, the hooks and the settings of a worker, without the URLs."""
    expiry = orders.current()
    hooks, settings = expiry.hooks, expiry.settings.model_dump(mode="json", exclude=SECRET | OWN)
    return {
        "version": version("order-expiry"),
        "hooks": {
            "on_expire": len(hooks.expire_hooks),
            "on_event": len(hooks.event_hooks),
            "guard": hooks.guard_hook is not None,
            "on_late_payment": hooks.late_payment_hook is not None,
        },
        "settings": {name: str(value) for name, value in settings.items()},
    }


def check_broker(patient: Patient) -> Iterator[Finding]:
    """Check that the broker answers, and count the messages in each queue."""
    limit = patient.settings.max_backlog
    with app.connection_for_write(connect_timeout=PATIENCE) as connection:
        connection.ensure_connection(max_retries=1, timeout=PATIENCE)
        waiting = {name: _waiting(connection, name) for name in QUEUES}
    found = "waiting messages: " + ", ".join(f"{name} {number:,}" for name, number in waiting.items())
    if waiting["orders.expire"] >= limit:
        advice = "Workers are behind: start more. Sweeps send no more messages than ORDERS_MAX_BACKLOG ahead of them."
        yield warning("celery.queues", found, advice)
    elif waiting["orders.sweep"] > 10 * len(patient.expiry.schedule.shards):
        yield warning("celery.queues", found, "Is there a worker for the queue orders.sweep?")
    else:
        yield ok("celery.queues", found)


def check_workers(_: Patient) -> Iterator[Finding]:
    """Check that each queue has a worker."""
    active = app.control.inspect(timeout=PATIENCE).active_queues() or {}
    consumed: dict[str, list[str]] = defaultdict(list)
    for worker, queues in active.items():
        for queue in queues:
            consumed[queue["name"]].append(worker)
    for name in QUEUES:
        workers = consumed[name]
        if workers:
            yield ok("celery.workers", f"workers for the queue {name}: {len(workers)}")
        else:
            advice = f"Start one: celery -A tasks worker -Q {name}. Without -Q, a worker consumes all queues."
            yield error("celery.workers", f"no worker answers for the queue {name}", advice)


def check_agreement(_: Patient) -> Iterator[Finding]:
    """Compare the hooks, settings and versions of the workers with those of this process."""
    replies = app.control.broadcast("orders_worker", reply=True, timeout=PATIENCE) or []
    workers: dict[str, Any] = {worker: answer for reply in replies for worker, answer in reply.items()}
    if not workers:
        yield unknown("celery.agreement", "no worker answers, so there is nothing to compare with this process")
        return
    mine = orders_worker(None)
    differing: list[str] = []
    for worker, answer in workers.items():
        differing += [
            f"{worker} has {name} {answer.get(name)}, this process {mine[name]}"
            for name in ("version", "hooks")
            if answer.get(name) != mine[name]
        ]
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


def _waiting(connection: Any, name: str) -> int:
    declared = app.amqp.queues[name].bind(connection.default_channel).queue_declare()
    return int(declared.message_count)


CHECKS: Mapping[str, Check] = {
    "celery.queues": check_broker,
    "celery.workers": check_workers,
    "celery.agreement": check_agreement,
}
