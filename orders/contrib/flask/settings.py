"""The settings of a Flask app, from ``ORDERS_*`` in its configuration, its database and its model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from orders.config import PREFIX, Settings
from orders.errors import ConfigError

OF_MODEL = ("TABLE", "ID_COLUMN")
"""The settings that the model defines."""


def read(config: Mapping[str, Any], *, engine: sa.Engine | None, model: type[Any] | None) -> Settings:
    """Return the settings of an app.

    Args:
        config: the app's configuration.
        engine: Flask-SQLAlchemy's engine, if the app uses it.
        model: the model of the orders; it defines the table and the columns.

    Raises:
        ConfigError: a setting is invalid or unknown, or is set twice.
    """
    given = {name.removeprefix(PREFIX): value for name, value in config.items() if name.startswith(PREFIX)}
    if engine is not None:
        _reject_second(given, "DATABASE_URL", "db=, which names the database")
        given["DATABASE_URL"] = engine.url.render_as_string(hide_password=False)
    if model is not None:
        for name in OF_MODEL:
            _reject_second(given, name, f"model={model.__name__}, which defines it")
        given |= _names(given, model)
    return Settings.of(given)


def bind_key(model: type[Any] | None) -> str | None:
    """Return the key in ``SQLALCHEMY_BINDS`` of the database with the model's table; None for the default one."""
    key: str | None = None if model is None else _table(model).metadata.info.get("bind_key")
    return key


def has_uuids(model: type[Any]) -> bool:
    """Return whether the ids of a model are ``uuid.UUID``, whatever type the column has."""
    [key] = _table(model).primary_key.columns
    return isinstance(key.type, sa.Uuid) and key.type.as_uuid


def _reject_second(given: Mapping[str, Any], name: str, other: str) -> None:
    if name in given:
        raise ConfigError(f"{PREFIX}{name} is set in the app's configuration, and so is {other}: remove one of them")


def _names(given: Mapping[str, Any], model: type[Any]) -> dict[str, str]:
    """Return the names of the table and its columns; the settings name attributes of the model."""
    table = _table(model)
    keys = [column.name for column in table.primary_key.columns]
    if len(keys) != 1:
        raise ConfigError(
            f"model={model.__name__} has the primary key ({', '.join(keys)}): it must have exactly one column"
        )
    names = {"TABLE": table.fullname, "ID_COLUMN": keys[0]}
    for setting in ("STATUS_COLUMN", "DEADLINE_COLUMN"):
        attribute = given.get(setting, Settings.model_fields[setting.lower()].default)
        names[setting] = _column(model, setting, attribute)
    return names


def _table(model: type[Any]) -> sa.Table:
    mapper = sa.inspect(model, raiseerr=False)
    table = getattr(mapper, "local_table", None)
    if not isinstance(table, sa.Table):
        raise ConfigError(f"model={model!r}: it must be a class that is mapped to a table")
    return table


def _column(model: type[Any], setting: str, attribute: object) -> str:
    """Return the name of the column behind an attribute."""
    mapped, table = sa.inspect(model).columns, _table(model)
    columns: dict[str, str] = {
        key: column.name for key, column in mapped.items() if getattr(column, "table", None) is table
    }
    try:
        return columns[str(attribute)]
    except KeyError:
        raise ConfigError(
            f"{PREFIX}{setting} is {attribute!r}, but model={model.__name__} has no such column: it must be one of "
            f"{', '.join(sorted(columns))}"
        ) from None
