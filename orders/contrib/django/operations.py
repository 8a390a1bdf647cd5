"""The migration operation that creates the table of events, with the DDL of `orders.store.outbox`."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.models import CreateModel
from django.db.migrations.state import ProjectState
from sqlalchemy.schema import CreateIndex, CreateTable

from orders.config import Settings
from orders.contrib.django import bridge
from orders.store import Outbox


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
        name = model._meta.db_table
        if schema_editor.collect_sql or name not in connection.introspection.table_names():
            for statement in _ddl(connection, name):
                schema_editor.execute(statement, params=None)


def _ddl(connection: BaseDatabaseWrapper, name: str) -> list[str]:
    dialect = bridge.dialect_of(connection)
    table = Outbox(Settings(events_table=name), dialect.name, None).table
    elements: list[Any] = [CreateTable(table), *map(CreateIndex, sorted(table.indexes, key=_name))]
    return [str(element.compile(dialect=dialect)).strip() for element in elements]


def _name(index: sa.Index) -> str:
    return str(index.name)
