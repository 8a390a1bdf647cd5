"""The public names, which a shop's code uses: only a major release removes or renames one.

The types of `orders` and `orders.aio` are pinned by `tests.unit.test_types`.
"""

from __future__ import annotations

import re
import runpy
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
import typer
from celery import Celery
from celery.app.utils import find_app
from django.core.management import get_commands
from django.db import models

import orders
import tasks
from orders.cli import app
from tests.contrib.django import adapter

ROOT = Path(__file__).parents[2]

COMPLETE = {
    "orders": """
        enqueue enqueue_many deadline extend extend_many hold pay cancel check remove explain pause resume
        paused aio Pause Payment PaymentVerdict State Explanation
        on_expire on_late_payment guard Answer on_event Event EventKind deadline_rule condition
        Settings configure current OrderExpiry Hooks
        OrdersError ConfigError InvalidOrderId InvalidReference InvalidDeadline ScheduleError ScheduleUnavailable
        StoreError StoreUnavailable StoreConflict SchemaError ExpiryFailed DeliveryFailed EmbeddedError
    """,
    "orders.aio": """
        cancel check close deadline drain enqueue enqueue_many explain extend hold pause paused pay remove resume
    """,
    "orders.contrib.flask": "Orders",
    "orders.operate.web": "asgi serve wsgi",
    "tasks": "GroupedEvents app checks deliver expire install prune reconcile sweep",
}
"""Modules, and all that is in their ``__all__``."""

AMONG_OTHERS = {
    "orders.config": "Settings",
    "orders.expiry": "OrderExpiry",
    "orders.ids": "OrderId",
    "orders.hooks": "Answer Hooks Later",
    "orders.events": "Event EventKind",
    "orders.logs": "JsonFormatter",
    "orders.embedded": "EmbeddedRedis",
    "orders.store": "Joined OrderStore SqlStore",
    "orders.store.port": "OrderStore",
    "orders.store.outcomes": "Outcome Pause Payment PaymentVerdict Pending Postponed Row State Verdict",
    "orders.operate": "Audit Bar Case Forecast Lateness Wrong WrongKind audit_orders forecast_orders",
    "orders.errors": """
        OrdersError ConfigError InvalidOrderId InvalidReference InvalidDeadline InvalidMessage ScheduleError
        ScheduleUnavailable StoreError StoreUnavailable StoreConflict SchemaError ExpiryFailed DeliveryFailed
        EmbeddedError
    """,
    "orders.contrib.django.conf": "Configuration DjangoConfigError read",
    "orders.contrib.django.expiry": "DjangoExpiry",
    "orders.contrib.django.store": "DjangoStore",
    "orders.contrib.django.models": "OrderEvent",
}
"""Modules, and those of their names that are public."""

MEMBERS = {
    "orders.OrderExpiry": """
        connect deadline enqueue enqueue_many extend hold pay cancel check remove explain expire deliver prune
        reconcile close entries due_at instants held_until
    """,
    "orders.Hooks": "on_expire on_late_payment guard on_event deadline_rule condition",
    "orders.Settings": "of score_offset",
    "orders.Payment": "order_id verdict refund_key was_revived is_pending is_accepted is_final",
    "orders.Pause": "since until by reason",
    "orders.Event": "id order_id kind at data delivered_at refusals error",
    "orders.embedded.EmbeddedRedis": "url pid start stop",
    "orders.contrib.flask.Orders": """
        init_app current provide deadline enqueue enqueue_many remove extend hold pay cancel check explain pause resume
        paused
        on_expire on_late_payment guard on_event deadline_rule condition
    """,
}

VALUES = {
    "orders.State": "pending overdue kept paid expired closed missing",
    "orders.PaymentVerdict": "accepted duplicate too_late closed not_found",
    "orders.EventKind": "expired paid extended cancelled late_payment revived reminder",
    "orders.Answer": "paid unpaid unknown later",
    "orders.operate.WrongKind": """
        expired_twice expired_early expired_although_paid overdue_and_unscheduled scheduled_and_final
        dead_and_forgotten late event_missing stuck_lease kept_for_long
    """,
}
"""Values that shops compare with, or have in their tables."""

COMMANDS = """
    demo up init-db enqueue extend hold pay cancel check remove explain stats sweep reconcile adopt pause resume list
    forecast audit
    doctor metrics web dead.list dead.show dead.requeue dead.retry dead.drop
    webhooks.list webhooks.replay webhooks.test
"""

TASKS = "orders.sweep orders.expire orders.reconcile orders.deliver orders.prune"

NAMES = [(module, name) for module, names in {**COMPLETE, **AMONG_OTHERS}.items() for name in names.split()]


@pytest.fixture(scope="module", autouse=True)
def _django() -> None:
    adapter.start()


@pytest.mark.parametrize(("module", "name"), NAMES)
def test_a_name_exists(module: str, name: str) -> None:
    assert hasattr(import_module(module), name)


@pytest.mark.parametrize("module", COMPLETE)
def test_the_list_is_complete(module: str) -> None:
    assert sorted(import_module(module).__all__) == sorted(COMPLETE[module].split())


@pytest.mark.parametrize("path", MEMBERS)
def test_a_class_has_its_members(path: str) -> None:
    kind = _object(path)
    known = {*dir(kind), *getattr(kind, "__dataclass_fields__", ())}
    assert set(MEMBERS[path].split()) - known == set()


@pytest.mark.parametrize("path", VALUES)
def test_values(path: str) -> None:
    assert [member.value for member in _object(path)] == VALUES[path].split()


def test_the_lists_have_what_the_reference_documents() -> None:
    modules, names = {module for module, _ in NAMES}, {f"{module}.{name}" for module, name in NAMES}
    documented = list(_documented())
    assert len(documented) > 30
    for directive, path in documented:
        if directive == "automodule":
            assert path in {*modules, "orders.contrib.django"}, path
        else:
            assert path in names, path


def test_django() -> None:
    from django.apps import apps  # noqa: PLC0415 - once Django has started

    assert apps.get_app_config("order_expiry").name == "orders.contrib.django"
    assert issubclass(apps.get_model("order_expiry.OrderEvent"), models.Model)
    assert get_commands()["orders"] == "orders.contrib.django"


def test_commands() -> None:
    verbs: Any = typer.main.get_command(app)
    groups = ("dead", "webhooks")
    grouped = [f"{group}.{name}" for group in groups for name in verbs.commands[group].commands]
    assert {*verbs.commands, *grouped} - {*groups} == set(COMMANDS.split())


def test_celery_finds_the_app_and_its_tasks() -> None:
    assert find_app("tasks") is tasks.app
    assert isinstance(tasks.app, Celery)
    tasks.app.finalize()
    assert sorted(name for name in tasks.app.tasks if name.startswith("orders.")) == sorted(TASKS.split())
    assert {queue.name for queue in tasks.app.conf.task_queues} == {"orders.sweep", "orders.expire", "orders.events"}


def test_the_probe_of_servers(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ConnectionError("redis://:secret@localhost is down")

    monkeypatch.setattr(orders, "current", fail)
    with pytest.raises(SystemExit) as left:
        runpy.run_module("tasks.servers", run_name="__main__")
    assert left.value.code == 1
    assert capsys.readouterr().err == "redis://:***@localhost is down\n"


def test_entry_points() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    checks = project["entry-points"]["order_expiry.checks"]
    assert project["scripts"] == {"orders": "orders_command:main", "order-expiry": "order_expiry.cli:main"}
    assert checks == {"orders": "tasks.checks:CHECKS", "order_expiry": "order_expiry.tasks.checks:CHECKS"}
    for value in (project["scripts"]["orders"], checks["orders"]):  # the others: `tests.acceptance.second_name`
        EntryPoint("any", value, "any").load()


def _object(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(import_module(module), name)


def _documented() -> Iterator[tuple[str, str]]:
    """Yield the directives of the reference, each with the full name of what it documents."""
    module = ""
    text = (ROOT / "docs" / "reference" / "api.md").read_text()
    for directive, path in re.findall(r"^\.\. (currentmodule|auto\w+):: ([\w.]+)", text, re.MULTILINE):
        if directive == "currentmodule":
            module = path
        else:
            yield directive, path if directive == "automodule" or "." in path else f"{module}.{path}"
