"""Django's ``ORDERS``: what it may say, and what is said about what it may not."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections
from django.test import override_settings

from orders.contrib.django import conf
from orders.contrib.django.store import DjangoStore
from orders.contrib.django.transactions import time_zone_problem
from orders.errors import ConfigError, SchemaError
from tests.contrib.django import adapter as adapters
from tests.contrib.django.conftest import Project
from tests.contrib.django.shop.models import Booking, Order

ROOT = str(Path(__file__).parents[3])

BOOKING = {
    "MODEL": "shop.Booking",
    "STATUS_FIELD": "state",
    "DEADLINE_FIELD": "hold_until",
    "PENDING": Booking.State.OPEN,
    "PAID": Booking.State.SETTLED,
    "EXPIRED": 9,
}


def test_the_model_says_what_the_table_and_its_columns_are_called() -> None:
    configuration = conf.read({**BOOKING, "LEASE": 60})
    settings = configuration.settings
    assert (settings.table, settings.id_column, settings.status_column, settings.deadline_column) == (
        "Buchung",
        "id",
        "lage",
        "frist bis",
    )
    assert (settings.pending, settings.paid, settings.expired, settings.lease) == ("0", "5", "9", 60)
    assert configuration.alias == "default"


def test_words_may_be_choices_or_values_in_any_case_of_key() -> None:
    status = Order.Status
    given = {"model": Order, "Pending": status.PENDING, "cancelled": [status.CANCELLED]}
    assert conf.read(given).settings.cancelled == ("cancelled",)


def test_djangos_dict_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERS_LEASE", "50")
    monkeypatch.setenv("ORDERS_GRACE", "5")
    settings = conf.read({"MODEL": "shop.Order", "LEASE": 60}).settings
    assert (settings.lease, settings.grace) == (60, 5)


def test_reminders_may_be_timedeltas() -> None:
    assert conf.read({"MODEL": "shop.Order", "REMIND": ["10m", timedelta(minutes=1)]}).settings.remind == (60, 600)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (7, "ORDERS is 7 in Django's settings: it must be a dict"),
        ({}, "ORDERS['MODEL'] is None: it must name the model"),
        ({"MODEL": "Order"}, "ORDERS['MODEL'] is 'Order'"),
        ({"MODEL": "shop.Nope"}, "App 'shop' doesn't have a 'Nope' model"),
        ({"MODEL": "nope.Order"}, "No installed app with label 'nope'"),
        ({"STATUS_FIELD": "state"}, "ORDERS['STATUS_FIELD'] is 'state': it must be a field of shop.Order"),
        ({"STATUS_FIELD": "items"}, "expires_at, id, status"),
        ({"DEADLINE_FIELD": "status"}, "ORDERS['DEADLINE_FIELD'] is 'status', a CharField of shop.Order"),
        ({"PAID": "payed"}, "ORDERS['PAID'] is 'payed': it must be a choice of shop.Order.status (pending, paid"),
        ({"CANCELLED": "void"}, "ORDERS['CANCELLED'] is 'void': it must be a choice"),
        ({**BOOKING, "PAID": "paid"}, "ORDERS['PAID'] is 'paid': it must be a whole number"),
        ({"DATABASE": "nope"}, "ORDERS['DATABASE'] is 'nope': it must be an alias in DATABASES (default"),
        ({"DATABASE_URL": "sqlite://"}, "ORDERS['DATABASE_URL'] is not a setting in Django: use DATABASES"),
        ({"TABLE": "x"}, "ORDERS['TABLE'] is not a setting in Django: use MODEL"),
        ({"LEESE": 5}, "unknown setting ORDERS['LEESE']; the settings are BATCH_SIZE"),
        ({"EVENTS_TABLE": "shop.events"}, "ORDERS['EVENTS_TABLE'] is 'shop.events': it must be the name of a table"),
        ({"LEASE": -5}, "ORDERS_LEASE is -5: it must be a number of seconds"),
    ],
)
def test_what_is_wrong_is_named_with_what_is_accepted(given: Any, told: str) -> None:
    given = {"MODEL": "shop.Order", **given} if given and isinstance(given, dict) else given
    with pytest.raises(ConfigError) as caught:
        conf.read(given)
    assert told in str(caught.value)
    assert isinstance(caught.value, ImproperlyConfigured)


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql"], indirect=True)
def test_deadlines_must_be_instants(project: Project) -> None:
    store = project.expiry().store
    with override_settings(USE_TZ=False), pytest.raises(SchemaError, match="USE_TZ is False: it must be True"):
        store.row("42")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_database_with_a_time_zone_of_its_own_is_refused(project: Project, database_url: str) -> None:
    with adapters.database(database_url) as alias:
        connections.settings[alias]["TIME_ZONE"] = "Asia/Tokyo"
        assert "['TIME_ZONE'] is 'Asia/Tokyo': it must be 'UTC'" in str(time_zone_problem(alias))
    with adapters.database(database_url) as alias:
        connections.settings[alias]["AUTOCOMMIT"] = False
        store = DjangoStore(project.expiry().settings, lambda: alias)
        with pytest.raises(SchemaError, match=r"\['AUTOCOMMIT'\] is False: it must be True"):
            store.check()


def manage(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"DJANGO_SETTINGS_MODULE": "tests.contrib.django.shop.settings", "PYTHONPATH": ROOT, **environment}
    command = [sys.executable, "-m", "django", *arguments]
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=60)


def test_the_migrations_are_complete(tmp_path: Path) -> None:
    ran = manage("makemigrations", "--check", "--dry-run", "order_expiry", folder=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "No changes detected in app 'order_expiry'\n"), ran.stderr


def test_django_starts_without_redis_and_without_its_database(tmp_path: Path) -> None:
    ran = manage("check", folder=tmp_path, SHOP_DATABASE_URL="postgresql://shop@127.0.0.1:1/shop")
    assert ran.returncode == 0, ran.stderr


@pytest.mark.parametrize(
    ("wrong", "message"),
    [("LEESE", "unknown setting ORDERS['LEESE']"), ("EVENTS_TABLE", "ORDERS['EVENTS_TABLE'] is 5")],
    ids=["unknown", "invalid"],
)
def test_a_wrong_setting_stops_the_start_and_check_reports_it(tmp_path: Path, wrong: str, message: str) -> None:
    (tmp_path / "wrong.py").write_text(
        f"from tests.contrib.django.shop.settings import *\nORDERS = {{'MODEL': 'shop.Order', '{wrong}': 5}}\n"
    )
    (tmp_path / "manage.py").write_text("from django.core.management import execute_from_command_line as run\nrun()\n")
    given = {"DJANGO_SETTINGS_MODULE": "wrong", "PYTHONPATH": f"{tmp_path}:{ROOT}"}

    def ends(*command: str) -> str:
        ran = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=given, capture_output=True, text=True, check=False, timeout=60
        )
        assert ran.returncode != 0, ran.stdout
        return ran.stderr

    # a web server, or a command
    assert f"DjangoConfigError: {message}" in ends("-c", "import django; django.setup()")
    # and the command whose purpose it is
    output = ends("manage.py", "check")
    assert f"(order_expiry.E001) {message}" in output
    assert "Traceback" not in output


def test_the_command_orders_finds_the_project_in_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text("from tests.contrib.django.shop.settings import *\n")

    def explain(settings: str) -> str:
        given = {"DJANGO_SETTINGS_MODULE": settings, "PYTHONPATH": ROOT, "PYTHONSAFEPATH": "1"}  # as a console script
        command = [sys.executable, "-m", "orders.cli", "explain", "1"]
        ran = subprocess.run(command, cwd=tmp_path, env=given, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 1
        return ran.stderr

    assert explain("right").startswith("error: DATABASES['default']: ORDERS_TABLE is 'shop_order'")
    assert explain("nowhere.settings") == (
        "error: DJANGO_SETTINGS_MODULE is 'nowhere.settings': it must be a settings module, as in `manage.py`; "
        "No module named 'nowhere'\n"
    )


@pytest.mark.parametrize("database_url", ["sqlite", "postgresql", "mariadb"], indirect=True)
def test_the_migration_makes_the_table_that_the_outbox_expects(project: Project, database_url: str) -> None:
    # given a database in which the migration has made it, and another in which `orders init-db` has
    store = project.expiry().store
    assert isinstance(store, DjangoStore)
    connection = connections[project.alias]

    def described() -> object:
        return [describe(table) for table in ("order_events", "order_events_webhooks")]

    def describe(table: str) -> object:
        with connection.cursor() as cursor:
            columns = connection.introspection.get_table_description(cursor, table)
            constraints = connection.introspection.get_constraints(cursor, table)
        return [tuple(column) for column in columns], {
            name: (found["columns"], found["unique"], found["primary_key"], found["index"])
            for name, found in constraints.items()
            if not name.startswith("__")
        }

    migrated = described()
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE order_events")
        cursor.execute("DROP TABLE order_events_webhooks")
    assert store.create_outbox()
    # then they are the same
    assert described() == migrated
