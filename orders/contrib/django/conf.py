"""The setting ``ORDERS`` of a Django project, and the model and fields that it names."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeGuard

from django.apps import apps
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, router

from orders.config import Settings
from orders.errors import ConfigError

FIELDS = {"STATUS_FIELD": "status", "DEADLINE_FIELD": "expires_at"}
"""The keys that name a field of the model, with their defaults."""

REPLACED = {
    "DATABASE_URL": "DATABASES, or DATABASE with one of its aliases",
    "TABLE": "MODEL",
    "ID_COLUMN": "MODEL, because its primary key is the id",
    "STATUS_COLUMN": "STATUS_FIELD",
    "DEADLINE_COLUMN": "DEADLINE_FIELD",
}
"""Settings that Django or the model replaces, and what to set instead."""

OWN = ("MODEL", *FIELDS, "DATABASE")
"""The keys of Django's ``ORDERS`` that `orders.config.Settings` does not have."""

_STATES = ("PENDING", "PAID", "EXPIRED", "CANCELLED")

_TABLE = r"[^.]+"


class DjangoConfigError(ConfigError, ImproperlyConfigured):
    """Django's ``ORDERS`` is invalid. The message names the key, what was given, and what is accepted."""


@dataclass(frozen=True)
class Configuration:
    """The contents of ``ORDERS``."""

    settings: Settings
    model: type[models.Model]
    """The model of the orders."""
    status_field: models.Field[Any, Any]
    deadline_field: models.Field[Any, Any]
    database: str | None
    """The alias in ``ORDERS``; None if the routers decide."""

    @property
    def alias(self) -> str:
        """The alias of the database to use now: the one in ``ORDERS``, or the one that the routers choose."""
        return self.database or router.db_for_write(self.model)


def read(given: object = None) -> Configuration:
    """Read Django's ``ORDERS``. The models must be loaded.

    Settings that it lacks are read from ``ORDERS_*`` in the environment.

    Args:
        given: a mapping to read instead.

    Raises:
        DjangoConfigError: a key or a value is invalid.
    """
    given = getattr(django_settings, "ORDERS", None) if given is None else given
    if not isinstance(given, Mapping):
        raise DjangoConfigError(
            f'ORDERS is {given!r} in Django\'s settings: it must be a dict like {{"MODEL": "shop.Order"}}'
        )
    values = {str(name).upper(): value for name, value in given.items()}
    for name in REPLACED.keys() & values.keys():
        raise DjangoConfigError(f"ORDERS[{name!r}] is not a setting in Django: use {REPLACED[name]}")
    model = _model(values.pop("MODEL", None))
    fields = {name: _field(model, name, values.pop(name, default)) for name, default in FIELDS.items()}
    status, deadline = fields["STATUS_FIELD"], fields["DEADLINE_FIELD"]
    if not isinstance(deadline, models.DateTimeField):
        raise DjangoConfigError(
            f"ORDERS['DEADLINE_FIELD'] is {deadline.name!r}, a {type(deadline).__name__} of {model._meta.label}: "
            "it must be a DateTimeField"
        )
    database = values.pop("DATABASE", None)
    if database is not None and database not in connections:
        raise DjangoConfigError(
            f"ORDERS['DATABASE'] is {database!r}: it must be an alias in DATABASES ({', '.join(sorted(connections))})"
        )
    for name in _STATES:
        if name in values:
            values[name] = _column_value(values[name])
    settings = _settings(values, model, status, deadline)
    _check_states(settings, status, values)
    return Configuration(settings, model, status, deadline, database)


def events_table() -> str:
    """Return the name of the table of events, from the setting EVENTS_TABLE, for its model and its migration.

    If the setting is invalid, this returns the default. `read` reports it later, when the models are loaded.
    """
    given = getattr(django_settings, "ORDERS", None)
    values = {str(name).upper(): value for name, value in given.items()} if isinstance(given, Mapping) else {}
    name = values.get("EVENTS_TABLE")
    return name if _is_table(name) else Settings.model_fields["events_table"].default


def subcommand() -> str | None:
    """Return the command of ``manage.py`` that this process runs; None if it runs none."""
    program, *arguments = sys.argv
    return arguments[0] if arguments and Path(program).name in {"manage.py", "django-admin"} else None


def _is_table(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and bool(re.fullmatch(_TABLE, name))


def _settings(
    values: Mapping[str, Any],
    model: type[models.Model],
    status: models.Field[Any, Any],
    deadline: models.Field[Any, Any],
) -> Settings:
    unknown = [name for name in values if name.lower() not in Settings.model_fields]
    if unknown:
        known = sorted({name.upper() for name in Settings.model_fields} - REPLACED.keys() | set(OWN))
        raise DjangoConfigError(f"unknown setting ORDERS[{unknown[0]!r}]; the settings are {', '.join(known)}")
    if not _is_table(name := values.get("EVENTS_TABLE", events_table())):
        raise DjangoConfigError(
            f"ORDERS['EVENTS_TABLE'] is {name!r}: it must be the name of a table; in Django, without a schema"
        )
    key = model._meta.pk
    from_model = {
        # A model names a table in another schema as 'schema"."table'.
        "table": model._meta.db_table.strip('"').replace('"."', "."),
        "id_column": key.column,
        "status_column": status.column,
        "deadline_column": deadline.column,
        "events_table": events_table(),
    }
    try:
        return Settings.of({**values, **from_model})
    except ConfigError as error:
        raise DjangoConfigError(str(error)) from None


def _model(label: object) -> type[models.Model]:
    if isinstance(label, type) and issubclass(label, models.Model):
        label = label._meta.label
    if not isinstance(label, str) or label.count(".") != 1:
        raise DjangoConfigError(
            f"ORDERS['MODEL'] is {label!r}: it must name the model of the orders, as \"app_label.Model\""
        )
    try:
        model = apps.get_model(label)
    except LookupError as error:
        raise DjangoConfigError(
            f"ORDERS['MODEL'] is {label!r}: it must name a model of an installed app, as \"app_label.Model\"; "
            f"{str(error).rstrip('.')}"
        ) from None
    if not getattr(model._meta.pk, "column", None):
        raise DjangoConfigError(
            f"ORDERS['MODEL'] is {label!r}: its primary key must be one column that holds text, integers or UUIDs"
        )
    return model


def _field(model: type[models.Model], setting: str, name: object) -> models.Field[Any, Any]:
    # If the model inherits from another model with a table, only the fields of its own table are in the order's row.
    own = {field.name: field for field in model._meta.local_concrete_fields}
    if model._meta.proxy and model._meta.concrete_model:
        own = {field.name: field for field in model._meta.concrete_model._meta.local_concrete_fields}
    try:
        return own[str(name)]
    except KeyError:
        raise DjangoConfigError(
            f"ORDERS[{setting!r}] is {name!r}: it must be a field of {model._meta.label} with a column in its table "
            f"({', '.join(sorted(own))})"
        ) from None


def _column_value(value: object) -> object:
    """Convert members of TextChoices or IntegerChoices to the values that the column holds."""
    if isinstance(value, Enum):
        return _column_value(value.value)
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(str(_column_value(item)) for item in value)
    return value


def _check_states(settings: Settings, status: models.Field[Any, Any], given: Mapping[str, Any]) -> None:
    """Check that the status field accepts the values of the states."""
    choices = dict(_flat(status.choices or ()))
    is_number = isinstance(status, models.IntegerField)
    for name in _STATES:
        setting = getattr(settings, name.lower())
        if name == "CANCELLED" and name not in given:
            continue  # the default has both spellings; a shop uses at most one
        for value in setting if isinstance(setting, tuple) else (setting,):
            if is_number and not re.fullmatch(r"-?\d{1,18}", value):
                raise DjangoConfigError(
                    f"ORDERS[{name!r}] is {value!r}: it must be a whole number, because {_label(status)} holds integers"
                )
            if choices and value not in choices:
                raise DjangoConfigError(
                    f"ORDERS[{name!r}] is {value!r}: it must be a choice of {_label(status)} ({', '.join(choices)})"
                )


def _label(field: models.Field[Any, Any]) -> str:
    return f"{field.model._meta.label}.{field.name}"


def _flat(choices: Any) -> Iterator[tuple[str, object]]:
    for value, label in choices:
        if isinstance(label, list | tuple):
            yield from _flat(label)
        else:
            yield str(_column_value(value)), label
