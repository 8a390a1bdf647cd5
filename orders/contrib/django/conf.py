"""The setting ``ORDERS`` of a Django project, and what it says about the shop's model."""

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
    "ID_COLUMN": "MODEL, whose primary key it is",
    "STATUS_COLUMN": "STATUS_FIELD",
    "DEADLINE_COLUMN": "DEADLINE_FIELD",
}
"""Settings that the model answers, and what to write in their place."""

OWN = ("MODEL", *FIELDS, "DATABASE")
"""The keys that Django's ``ORDERS`` has beside the settings of `orders.config.Settings`."""

_WORDS = ("PENDING", "PAID", "EXPIRED", "CANCELLED")

_TABLE = r"[^.]+"


class DjangoConfigError(ConfigError, ImproperlyConfigured):
    """Django's ``ORDERS`` is wrong: it says what was given, and what is accepted."""


@dataclass(frozen=True)
class Configuration:
    """What ``ORDERS`` says."""

    settings: Settings
    model: type[models.Model]
    """The shop's orders."""
    status_field: models.Field[Any, Any]
    deadline_field: models.Field[Any, Any]
    database: str | None
    """The alias that was given; None if the routers decide."""

    @property
    def alias(self) -> str:
        """The alias of the database to use now: the given one, or the one that the routers write the model to."""
        return self.database or router.db_for_write(self.model)


def read(given: object = None) -> Configuration:
    """Return what Django's ``ORDERS`` says. Models must have been loaded.

    Settings that it lacks are taken from ``ORDERS_*`` in the environment; what it has goes first.

    Args:
        given: a mapping to read instead.

    Raises:
        DjangoConfigError: a key or a value is wrong. The message names it, what was given, and what is accepted.
    """
    given = getattr(django_settings, "ORDERS", None) if given is None else given
    if not isinstance(given, Mapping):
        raise DjangoConfigError(
            f'ORDERS is {given!r} in Django\'s settings: accepted is a dict like {{"MODEL": "shop.Order"}}'
        )
    told = {str(name).upper(): value for name, value in given.items()}
    for name in REPLACED.keys() & told.keys():
        raise DjangoConfigError(f"ORDERS[{name!r}] is no setting in Django: accepted is {REPLACED[name]}")
    model = _model(told.pop("MODEL", None))
    fields = {name: _field(model, name, told.pop(name, default)) for name, default in FIELDS.items()}
    status, deadline = fields["STATUS_FIELD"], fields["DEADLINE_FIELD"]
    if not isinstance(deadline, models.DateTimeField):
        raise DjangoConfigError(
            f"ORDERS['DEADLINE_FIELD'] is {deadline.name!r}, a {type(deadline).__name__} of {model._meta.label}: "
            "accepted is a DateTimeField"
        )
    database = told.pop("DATABASE", None)
    if database is not None and database not in connections:
        raise DjangoConfigError(
            f"ORDERS['DATABASE'] is {database!r}: accepted is an alias of DATABASES: {', '.join(sorted(connections))}"
        )
    for name in _WORDS:
        if name in told:
            told[name] = _words(told[name])
    settings = _settings(told, model, status, deadline)
    _check_words(settings, status, told)
    return Configuration(settings, model, status, deadline, database)


def events_table() -> str:
    """Return the name of the table of events, for its model and its migration: that of the setting EVENTS_TABLE.

    A wrong one is left to `read`, which tells what is accepted: models are loaded before anything can be checked.
    """
    given = getattr(django_settings, "ORDERS", None)
    told = {str(name).upper(): value for name, value in given.items()} if isinstance(given, Mapping) else {}
    name = told.get("EVENTS_TABLE")
    return name if _is_table(name) else Settings.model_fields["events_table"].default


def subcommand() -> str | None:
    """Return which command of ``manage.py`` this process runs, if it does."""
    program, *arguments = sys.argv
    return arguments[0] if arguments and Path(program).name in {"manage.py", "django-admin"} else None


def _is_table(name: object) -> TypeGuard[str]:
    return isinstance(name, str) and bool(re.fullmatch(_TABLE, name))


def _settings(
    told: Mapping[str, Any],
    model: type[models.Model],
    status: models.Field[Any, Any],
    deadline: models.Field[Any, Any],
) -> Settings:
    unknown = [name for name in told if name.lower() not in Settings.model_fields]
    if unknown:
        known = sorted({name.upper() for name in Settings.model_fields} - REPLACED.keys() | set(OWN))
        raise DjangoConfigError(f"ORDERS[{unknown[0]!r}] is no setting; the settings are {', '.join(known)}")
    if not _is_table(name := told.get("EVENTS_TABLE", events_table())):
        raise DjangoConfigError(
            f"ORDERS['EVENTS_TABLE'] is {name!r}: accepted is the name of a table, without a schema in Django"
        )
    key = model._meta.pk
    described = {
        # A quotation mark in the middle is how a model names a table of another schema.
        "table": model._meta.db_table.strip('"').replace('"."', "."),
        "id_column": key.column,
        "status_column": status.column,
        "deadline_column": deadline.column,
        "events_table": events_table(),
    }
    try:
        return Settings.of({**told, **described})
    except ConfigError as error:
        raise DjangoConfigError(str(error)) from None


def _model(label: object) -> type[models.Model]:
    if isinstance(label, type) and issubclass(label, models.Model):
        label = label._meta.label
    if not isinstance(label, str) or label.count(".") != 1:
        raise DjangoConfigError(
            f"ORDERS['MODEL'] is {label!r}: accepted is the model of the orders, as \"app_label.Model\""
        )
    try:
        model = apps.get_model(label)
    except LookupError as error:
        raise DjangoConfigError(
            f"ORDERS['MODEL'] is {label!r}, and {str(error).rstrip('.')}: accepted is a model of an installed app, "
            'as "app_label.Model"'
        ) from None
    if not getattr(model._meta.pk, "column", None):
        raise DjangoConfigError(
            f"ORDERS['MODEL'] is {label!r}: accepted is a model whose primary key is one column of text, integers or "
            "UUIDs"
        )
    return model


def _field(model: type[models.Model], setting: str, name: object) -> models.Field[Any, Any]:
    # Of a model that inherits another's table, only the fields of its own table stand in the order's row.
    own = {field.name: field for field in model._meta.local_concrete_fields}
    if model._meta.proxy and model._meta.concrete_model:
        own = {field.name: field for field in model._meta.concrete_model._meta.local_concrete_fields}
    try:
        return own[str(name)]
    except KeyError:
        raise DjangoConfigError(
            f"ORDERS[{setting!r}] is {name!r}: accepted is a field of {model._meta.label} with a column in its table: "
            f"{', '.join(sorted(own))}"
        ) from None


def _words(value: object) -> object:
    """Return members of TextChoices or IntegerChoices as the values that the column holds."""
    if isinstance(value, Enum):
        return _words(value.value)
    if isinstance(value, list | tuple | set | frozenset):
        return tuple(str(_words(word)) for word in value)
    return value


def _check_words(settings: Settings, status: models.Field[Any, Any], told: Mapping[str, Any]) -> None:
    """Compare the words for the states with the field's choices."""
    choices = dict(_flat(status.choices or ()))
    is_number = isinstance(status, models.IntegerField)
    for name in _WORDS:
        value = getattr(settings, name.lower())
        if name == "CANCELLED" and name not in told:
            continue  # the default has two spellings, of which a shop has one or none
        for word in value if isinstance(value, tuple) else (value,):
            if is_number and not re.fullmatch(r"-?\d{1,18}", word):
                raise DjangoConfigError(f"ORDERS[{name!r}] is {word!r}: accepted is a number, as {_called(status)} is")
            if choices and word not in choices:
                raise DjangoConfigError(
                    f"ORDERS[{name!r}] is {word!r}: accepted is a choice of {_called(status)}: {', '.join(choices)}"
                )


def _called(field: models.Field[Any, Any]) -> str:
    return f"{field.model._meta.label}.{field.name}"


def _flat(choices: Any) -> Iterator[tuple[str, object]]:
    for value, label in choices:
        if isinstance(label, list | tuple):
            yield from _flat(label)
        else:
            yield str(_words(value)), label
