"""What `orders.contrib.django` uses of Django: its connections, its models, its admin site, its commands."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, patch

import pytest

from tests.canaries.canary import canary, takes
from tests.contrib.django import adapter

adapter.start()

from django.contrib import admin  # noqa: E402
from django.contrib.admin.utils import quote, unquote  # noqa: E402
from django.core.management.base import BaseCommand  # noqa: E402
from django.db import DatabaseError, connections, models, transaction  # noqa: E402
from django.db.backends.mysql.base import DatabaseWrapper as MySQL  # noqa: E402
from django.db.backends.postgresql.psycopg_any import is_psycopg3  # noqa: E402
from django.db.migrations.operations.models import CreateModel  # noqa: E402
from django.utils import module_loading  # noqa: E402

from tests.contrib.django.shop.models import Order  # noqa: E402

BRIDGE = "orders/contrib/django/bridge.py"
CHECKS = "orders/contrib/django/checks.py"
CONF = "orders/contrib/django/conf.py"
FRAME = "orders/contrib/django/frame.py"
STORE = "orders/contrib/django/transactions.py"


@pytest.fixture
def alias(tmp_path: Path) -> Iterator[str]:
    with adapter.database(f"sqlite:///{tmp_path / 'canary.db'}") as alias:
        yield alias


def in_thread(call: Any) -> Any:
    """Return what a call in another thread returns, or raises."""
    ended: list[Any] = []

    def run() -> None:
        try:
            ended.append(call())
        except DatabaseError as error:
            ended.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return ended[0]


@canary(
    "django", "connections.create_connection, connections[alias] = …; BaseDatabaseWrapper.inc_thread_sharing", BRIDGE
)
def test_thread_sharing(alias: str) -> None:
    own, lent = connections[alias], connections.create_connection(alias)
    assert lent is not own
    lent.ensure_connection()
    assert isinstance(in_thread(lent.is_usable), bool)
    assert isinstance(in_thread(lent.close), DatabaseError)
    lent.inc_thread_sharing()

    def use() -> Any:
        connections[alias] = lent
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            return cursor.execute("SELECT 1").fetchone()

    assert in_thread(use) == (1,)
    assert connections[alias] is own  # each thread has its own
    lent.close()


@canary("django", "sqlite3.DatabaseWrapper.transaction_mode", BRIDGE)
def test_transaction_mode(alias: str) -> None:
    connection = connections[alias]
    connection.ensure_connection()
    assert vars(connection)["transaction_mode"] is None
    began: list[str] = []

    def note(execute: Any, sql: str, *arguments: Any) -> Any:
        began.append(sql)
        return execute(sql, *arguments)

    vars(connection)["transaction_mode"] = "IMMEDIATE"
    with connection.execute_wrapper(note), transaction.atomic(using=alias):
        assert began == ["BEGIN IMMEDIATE"]


@canary("django", "BaseDatabaseWrapper.needs_rollback, in_atomic_block, autocommit, connection", BRIDGE)
def test_state_of_a_connection(alias: str) -> None:
    connection = connections[alias]
    assert (connection.connection, connection.in_atomic_block) == (None, False)
    with transaction.atomic(using=alias):
        assert connection.in_atomic_block
        assert not connection.needs_rollback
        transaction.set_rollback(True, using=alias)
        assert connection.needs_rollback
    assert connection.connection is not None
    assert not connection.in_atomic_block
    assert connection.autocommit
    transaction.set_autocommit(False, using=alias)
    assert not connection.autocommit
    transaction.rollback(using=alias)
    transaction.set_autocommit(True, using=alias)


@canary("django", "BaseDatabaseWrapper.errors_occurred, is_usable, ensure_connection", BRIDGE)
def test_is_usable(alias: str) -> None:
    connection = connections[alias]
    connection.ensure_connection()
    assert connection.is_usable()
    assert connection.errors_occurred is False
    with pytest.raises(DatabaseError), connection.cursor() as cursor:
        cursor.execute("SELECT nothing")
    assert connection.errors_occurred is True


@canary("django", "BaseDatabaseWrapper.settings_dict, timezone_name", BRIDGE, STORE)
def test_settings_dict(alias: str) -> None:
    connection = connections[alias]
    assert {"ENGINE", "OPTIONS", "AUTOCOMMIT"} <= connection.settings_dict.keys()
    assert connection.timezone_name == "UTC"
    assert set(connections) >= {"default", alias}


@canary("django", "mysql.DatabaseWrapper.Database; postgresql.psycopg_any.is_psycopg3", BRIDGE)
def test_drivers() -> None:
    assert MySQL.Database.__name__ == "pymysql"  # which the tests install under mysqlclient's name
    assert is_psycopg3 is True


@canary("django", "introspection.table_names, features.supports_partial_indexes", CHECKS)
def test_introspection(alias: str) -> None:
    connection = connections[alias]
    assert connection.features.supports_partial_indexes is True
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE birds (id integer)")
        assert connection.introspection.table_names(cursor) == ["birds"]
    assert connection.introspection.table_names() == ["birds"]


@canary("django", "SchemaEditor.collect_sql; Operation.allow_migrate_model", "orders/contrib/django/operations.py")
def test_migrations(alias: str) -> None:
    with connections[alias].schema_editor(collect_sql=True) as editor:
        editor.execute("CREATE TABLE birds (id integer)", params=None)
        assert editor.collect_sql
        assert editor.collected_sql == ["CREATE TABLE birds (id integer);"]
    assert CreateModel("Bird", []).allow_migrate_model(alias, Order)


@canary("django", "repr(Q): field names are in single quotes", CHECKS)
def test_repr_of_q() -> None:
    assert "'status'" in repr(models.Q(status="pending"))
    assert "'status__in'" in repr(models.Q(status__in=["pending"]))


@canary("django", "Options.local_concrete_fields, concrete_model, constraints, unique_together", CONF, CHECKS)
def test_options() -> None:
    class Egg(Order):
        class Meta:
            app_label = "canary"
            proxy = True
            apps = SimpleNamespace(register_model=Mock(), get_models=Mock(), do_pending_operations=Mock())

    assert {"status", "expires_at"} <= {field.name for field in Order._meta.local_concrete_fields}
    assert Egg._meta.concrete_model is Order
    assert not Egg._meta.local_concrete_fields
    for name in ("indexes", "constraints", "unique_together"):
        assert isinstance(getattr(Order._meta, name), list | tuple)


@canary("django", "utils.module_loading.autodiscover_modules", "orders/contrib/django/apps.py")
def test_autodiscover_modules() -> None:
    with patch.object(module_loading, "import_module") as imported:
        module_loading.autodiscover_modules("order_hooks")
    assert "tests.contrib.django.shop.order_hooks" in [call.args[0] for call in imported.call_args_list]


@canary("django", "admin.utils.quote, unquote", FRAME, "orders/contrib/django/pages.py")
def test_quote() -> None:
    assert quote("a/b:c") == "a_2Fb_3Ac"
    assert unquote(quote("a/b_c")) == "a/b_c"


@canary("django", "ModelAdmin.log_change, opts; AdminSite.each_context", FRAME)
def test_log_change() -> None:
    model_admin = admin.ModelAdmin(Order, admin.site)
    takes(model_admin.log_change, Mock(), Order(), "Retried.")
    assert model_admin.opts is Order._meta
    takes(admin.site.each_context, Mock())


@canary("django", "ModelAdmin.get_object: history_view calls it", "orders/contrib/django/admin.py")
def test_get_object() -> None:
    class Reached(Exception):
        """It asks the method that we replace."""

    class Admin(admin.ModelAdmin):  # type: ignore[type-arg]
        def get_object(self, request: Any, object_id: str, from_field: str | None = None) -> Any:
            raise Reached

    with pytest.raises(Reached):
        Admin(Order, admin.site).history_view(Mock(), "42")
    takes(admin.ModelAdmin.change_view, None, Mock(), "42", form_url="", extra_context=None)
    takes(admin.ModelAdmin.changelist_view, None, Mock(), extra_context=None)


@canary("django", "templates/admin/base.html: breadcrumbs in a div, from 6.1 on in an ol", FRAME)
def test_breadcrumbs() -> None:
    text = (Path(admin.__file__).parent / "templates" / "admin" / "base.html").read_text()
    assert ('<div class="breadcrumbs">' in text) != ('<ol class="breadcrumbs">' in text)
    for block in ("extrahead", "extrastyle", "bodyclass", "breadcrumbs", "content", "object-tools"):
        assert f"{{% block {block} %}}" in text


@canary("django", "BaseCommand.run_from_argv", "orders/contrib/django/management/commands/orders.py")
def test_run_from_argv() -> None:
    from django.core.management import execute_from_command_line  # noqa: PLC0415

    called: list[list[str]] = []
    command = type("Command", (BaseCommand,), {"run_from_argv": lambda self, argv: called.append(argv)})
    with patch("django.core.management.load_command_class", lambda *_: command(stdout=StringIO())):
        execute_from_command_line(["manage.py", "orders", "explain", "42"])
    assert called == [["manage.py", "orders", "explain", "42"]]
