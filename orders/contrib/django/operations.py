"""The migration operations that create the tables of events and of webhooks, with the DDL of `orders.store`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.models import CreateModel
from django.db.migrations.state import ProjectState
from sqlalchemy.schema import CreateIndex, CreateTable, DropTable

from orders.config import Settings
from orders.contrib.django import bridge
from orders.store import Outbox, Webhooks


class CreateOutbox(CreateModel):
    """Creates a model with the table of `orders.store.Outbox`: its types, defaults and indexes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the table, if ``orders init-db`` did not. An existing table does not change."""
        model, connection = to_state.apps.get_model(app_label, self.name), schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model):
            return
        _create(schema_editor, _outbox(connection, model._meta.db_table).table)


class CreateWebhooks(Operation):
    """Creates the table of `orders.store.Webhooks`, which is no model: where that of events is, and named after it."""

    def state_forwards(self, app_label: str, state: ProjectState) -> None:
        """Change nothing: no model has this table."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Create the table, if ``orders init-db`` did not. An existing table does not change."""
        if (table := self._table(app_label, schema_editor, to_state)) is not None:
            _create(schema_editor, table)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: ProjectState,
        to_state: ProjectState,
    ) -> None:
        """Drop the table."""
        if (table := self._table(app_label, schema_editor, to_state)) is not None:
            schema_editor.execute(_sql(schema_editor.connection, DropTable(table)), params=None)

    def describe(self) -> str:
        """Return what this does."""
        return "Create the table of webhooks"

    def _table(self, app_label: str, schema_editor: BaseDatabaseSchemaEditor, state: ProjectState) -> sa.Table | None:
        model, connection = state.apps.get_model(app_label, "OrderEvent"), schema_editor.connection
        if not self.allow_migrate_model(connection.alias, model):
            return None
        return Webhooks(_outbox(connection, model._meta.db_table)).table


def _outbox(connection: BaseDatabaseWrapper, events_table: str) -> Outbox:
    return Outbox(Settings(events_table=events_table), bridge.dialect_of(connection).name, None)


def _create(schema_editor: BaseDatabaseSchemaEditor, table: sa.Table) -> None:
    connection = schema_editor.connection
    if schema_editor.collect_sql or table.name not in connection.introspection.table_names():
        for element in (CreateTable(table), *map(CreateIndex, sorted(table.indexes, key=_name))):
            schema_editor.execute(_sql(connection, element), params=None)


def _sql(connection: BaseDatabaseWrapper, element: Any) -> str:
    return str(element.compile(dialect=bridge.dialect_of(connection))).strip()


def _name(index: sa.Index) -> str:
    return str(index.name)
