"""The settings of a Flask app, from ``ORDERS_*`` in its configuration, its database and its model."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

import sqlalchemy as sa

from orders.config import PREFIX, Settings
from orders.errors import ConfigError

STATES = ("PENDING", "PAID", "EXPIRED", "CANCELLED")
"""The settings that name states of an order."""

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
        if engine.dialect.is_async:
            raise ConfigError(
                f"the app's database is {engine.url!r}: its driver must not be for asyncio; use for example "
                "postgresql+psycopg:// in SQLALCHEMY_DATABASE_URI or SQLALCHEMY_BINDS"
            )
        _reject_second(given, "DATABASE_URL", "db=, which names the database")
        given["DATABASE_URL"] = engine.url.render_as_string(hide_password=False)
    if model is None:
        return Settings.of(given)
    for name in OF_MODEL:
        _reject_second(given, name, f"model={model.__name__}, which defines it")
    given |= _names(given, model)
    for name in STATES:
        given |= {name: _plain(given[name])} if name in given else {}
    settings = Settings.of(given)
    return Settings.of({**given, **_words(settings, model)})


def bind_key(model: type[Any] | None) -> str | None:
    """Return the key in ``SQLALCHEMY_BINDS`` of the database with the model's table; None for the default one."""
    key: str | None = None if model is None else _table(model).metadata.info.get("bind_key")
    return key


def has_uuids(model: type[Any]) -> bool:
    """Return whether the ids of a model are ``uuid.UUID``, whatever type the column has."""
    [key] = _table(model).primary_key.columns
    return isinstance(key.type, sa.Uuid) and key.type.as_uuid


def _plain(value: object) -> object:
    """Return the name of a member of an enum, and of each one in a collection."""
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(map(_plain, value))
    return value.name if isinstance(value, Enum) else value


def _words(settings: Settings, model: type[Any]) -> dict[str, Any]:
    """Return the states as the status column of the model stores them.

    SQLAlchemy's ``Enum`` stores the names of a Python enum, unless its *values_callable* says otherwise.

    Raises:
        ConfigError: the column cannot hold one of them.
    """
    column = _table(model).columns[settings.status_column]
    kind = column.type
    while isinstance(kind, sa.types.TypeDecorator):
        kind = kind.impl_instance
    if not isinstance(kind, sa.Enum):
        return {}
    called = f"{model.__name__}.{column.name}"
    words: dict[str, Any] = {
        name: _word(kind, called, name, getattr(settings, name.lower())) for name in STATES if name != "CANCELLED"
    }
    if "cancelled" in settings.model_fields_set:
        words["CANCELLED"] = tuple(_word(kind, called, "CANCELLED", each) for each in settings.cancelled)
    else:  # the default has both spellings; a shop uses at most one
        found = [_stored(kind, each) for each in settings.cancelled]
        words["CANCELLED"] = tuple(word for word in found if word) or settings.cancelled
    return words


def _word(kind: sa.Enum, called: str, setting: str, given: str) -> str:
    stored = _stored(kind, given)
    if stored is None:
        raise ConfigError(
            f"{PREFIX}{setting} is {given!r}: it must be a member of {called}, which holds {', '.join(kind.enums)}"
        )
    return stored


def _stored(kind: sa.Enum, given: str) -> str | None:
    """Return what a column holds for a member of its enum: by what it holds, by its name, or by its value."""
    if given in kind.enums or kind.enum_class is None:
        return given if given in kind.enums else None
    by_name = kind.enum_class.__members__
    by_value = {str(member.value): member for member in kind.enum_class}
    member = by_name.get(given, by_value.get(given))
    members = by_name.values() if len(by_name) == len(kind.enums) else list(kind.enum_class)  # without aliases
    return next((word for each, word in zip(members, kind.enums, strict=True) if each is member), None)


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
