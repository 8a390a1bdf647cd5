"""The system checks: each with a project that fails it, and one that passes."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connections, models

from orders.contrib.django import checks
from orders.embedded import free_port
from tests.contrib.django.shop.models import Booking, Order
from tests.contrib.django_admin.conftest import Site

BOOKING = {
    "MODEL": "shop.Booking",
    "STATUS_FIELD": "state",
    "DEADLINE_FIELD": "hold_until",
    "PENDING": 0,
    "PAID": 5,
    "EXPIRED": 9,
}


def found(databases: Sequence[str] = (), **how: Any) -> list[str]:
    """Return the ids of what ``manage.py check --tag order_expiry`` tells."""
    messages = run_checks(tags=[checks.TAG], databases=databases, **how)
    return [str(message.id).removeprefix("order_expiry.") for message in messages]


@pytest.fixture
def given(project: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """``ORDERS``, to be changed."""
    changed = dict(django_settings.ORDERS)
    monkeypatch.setattr(django_settings, "ORDERS", changed)
    return changed


def test_a_project_that_is_right_passes_all(site: Site) -> None:
    assert found(include_deployment_checks=True, databases=["default"]) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"MODEL": None},
        {"MODEL": "shop.Nothing"},
        {"STATUS_FIELD": "state"},
        {"DEADLINE_FIELD": "status"},
        {"DEADLINE_FIELD": "nothing"},
        {"LEASE": 1, "LOOKAHEAD": 10},
        {"LEESE": 1},
        {"PENDING": "paid"},
        {"REDIS_URL": "http://localhost"},
        {"DATABASE": "nowhere"},
    ],
    ids=str,
)
def test_a_wrong_setting_is_an_error_and_no_traceback(given: dict[str, Any], wrong: dict[str, Any]) -> None:
    given.update(wrong)
    assert found(include_deployment_checks=True, databases=["default"]) == ["E001"]
    (message,) = run_checks(tags=[checks.TAG], databases=[])
    assert next(iter(wrong)) in message.msg


def test_naive_times_are_an_error(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django_settings, "USE_TZ", False)
    assert found() == ["E002"]


def test_a_status_field_must_hold_the_words(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    field = Order._meta.get_field("status")
    monkeypatch.setattr(field, "max_length", 6)
    assert found() == ["E003", "E003"]  # pending, expired
    monkeypatch.setattr(field, "max_length", 7)
    assert found() == []


def test_a_status_field_is_text_or_a_number(given: dict[str, Any]) -> None:
    class Flagged(models.Model):
        status: models.Field[bool, bool] = models.BooleanField()
        expires_at: models.Field[datetime, datetime] = models.DateTimeField()

        class Meta:
            app_label = "shop"
            indexes = (models.Index(fields=["status", "expires_at"], name="flagged"),)

    try:
        given["MODEL"] = "shop.Flagged"
        assert found() == ["E003"]
    finally:
        del Order._meta.apps.all_models["shop"]["flagged"]
        Order._meta.apps.clear_cache()


PENDING = models.Q(status="pending")


@pytest.mark.parametrize(
    ("index", "serves"),
    [
        (models.Index(fields=["expires_at", "id"], condition=PENDING, name="i"), True),
        (models.Index(fields=["expires_at"], condition=PENDING, name="i"), True),
        (models.Index(fields=["status", "expires_at", "id"], name="i"), True),
        (models.Index(fields=["status", "expires_at"], name="i"), True),
        (models.Index(fields=["expires_at"], name="i"), False),
        (models.Index(fields=["-expires_at"], condition=PENDING, name="i"), False),
        (models.Index(fields=["expires_at", "status"], name="i"), False),
        (models.Index(fields=["status", "id"], name="i"), False),
        (models.Index(fields=["expires_at"], condition=models.Q(id=None), name="i"), False),
        (None, False),
    ],
    ids=str,
)
def test_an_index_must_lead_to_pending_rows_by_deadline(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch, index: models.Index | None, serves: bool
) -> None:
    monkeypatch.setattr(Order._meta, "indexes", [index] if index else [])
    assert found() == ([] if serves else ["W001"])


def test_a_partial_index_serves_only_where_there_are_such(
    given: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections["default"].features, "supports_partial_indexes", False)
    assert found() == ["W001"]
    (message,) = run_checks(tags=[checks.TAG], databases=[])
    assert message.hint is not None
    assert 'fields=["status", "expires_at", "id"], name="order_overdue"' in message.hint


def test_the_hint_is_code_that_makes_the_check_pass(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    given.update(BOOKING)
    (message,) = run_checks(tags=[checks.TAG], databases=[])
    assert message.id == "order_expiry.W001"
    assert message.hint is not None
    code = message.hint.removeprefix("Add ").split(" to Meta.indexes")[0]
    index = eval(code, {"models": models})
    assert index.condition == models.Q(state=0)
    monkeypatch.setattr(Booking._meta, "indexes", [index])
    assert found() == []


def test_redis_is_asked_for_a_deployment_only(given: dict[str, Any]) -> None:
    given["REDIS_URL"] = f"redis://:secret@127.0.0.1:{free_port()}"
    assert found() == []
    assert found(include_deployment_checks=True) == ["W002"]
    assert "secret" not in str(run_checks(tags=[checks.TAG], databases=[], include_deployment_checks=True))


def test_a_redis_that_does_not_answer_is_not_waited_for(given: dict[str, Any]) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        given["REDIS_URL"] = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        assert found(include_deployment_checks=True) == ["W002"]
        assert time.monotonic() - began < 4 * checks.REDIS_TIMEOUT


def test_a_database_without_the_table_of_events_is_told(given: dict[str, Any]) -> None:
    assert found() == []
    assert found(databases=["default"]) == ["W003"]
    call_command("migrate", "order_expiry", verbosity=0)
    assert found(databases=["default"]) == []


def test_a_database_that_is_down_is_left_to_django(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "NAME", "/nowhere/at/all.db")
    assert found(databases=["default"]) == []
