"""System checks for ``manage.py check``, under the tag ``order_expiry``.

=================== ======= ====================================================== ==================================
id                  level   what is wrong                                          when it is checked
=================== ======= ====================================================== ==================================
order_expiry.E001   error   ``ORDERS`` has an invalid or contradictory setting     always
order_expiry.E002   error   ``USE_TZ`` is false, so deadlines would be naive       always
order_expiry.E003   error   the status field cannot hold the values of the states  always
order_expiry.W001   warning no index serves reconciling                            always
order_expiry.W002   warning Redis cannot be reached                                ``check --deploy``
order_expiry.W003   warning the table of events is missing                         ``check --database``
=================== ======= ====================================================== ==================================

Only the last two open a connection, so the checks do not delay a start. Redis has `REDIS_TIMEOUT` seconds to answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004 - Django's name
from django.db import OperationalError, connections, models
from redis.exceptions import RedisClusterException, RedisError

from orders.config import mask
from orders.contrib.django import conf
from orders.contrib.django.conf import Configuration
from orders.errors import ConfigError
from orders.schedule import client

TAG = "order_expiry"

REDIS_TIMEOUT = 0.5
"""Seconds for connecting to Redis, and for its answer."""

Apps = Sequence[AppConfig] | None


@register(TAG)
def check_settings(app_configs: Apps = None, **_: Any) -> list[CheckMessage]:
    """Check ``ORDERS``, ``USE_TZ``, and the fields and indexes of the model."""
    messages: list[CheckMessage] = []
    if not django_settings.USE_TZ:
        hint = "Set USE_TZ = True. Naive deadlines are rejected."
        messages.append(Error("USE_TZ is False: deadlines would be naive.", hint=hint, id="order_expiry.E002"))
    try:
        configuration = conf.read()
    except ConfigError as error:
        return [*messages, Error(str(error), id="order_expiry.E001")]
    return [*messages, *_check_status(configuration), *_check_index(configuration)]


@register(TAG, deploy=True)
def check_redis(app_configs: Apps = None, **_: Any) -> list[CheckMessage]:
    """Check that Redis answers."""
    try:
        settings = conf.read().settings
    except ConfigError:
        return []  # check_settings reports it
    try:
        with client(settings, timeout=REDIS_TIMEOUT) as redis:
            redis.ping()
    except (RedisError, RedisClusterException) as error:
        hint = (
            "Customers can place orders without Redis, but no order expires until it answers: see ORDERS['REDIS_URL']."
        )
        return [Warning(f"Redis at {mask(settings.redis_url)}: {error}", hint=hint, id="order_expiry.W002")]
    return []


@register(TAG, Tags.database)
def check_tables(app_configs: Apps = None, databases: Sequence[str] | None = None, **_: Any) -> list[CheckMessage]:
    """Check that the database has the table of events."""
    if conf.subcommand() == "migrate":
        return []  # it runs the checks before it creates the table
    try:
        configuration = conf.read()
    except ConfigError:
        return []
    alias, table = configuration.alias, configuration.settings.events_table
    if alias not in (databases or []):
        return []
    try:
        with connections[alias].cursor() as cursor:
            if table in connections[alias].introspection.table_names(cursor):
                return []
    except OperationalError:
        return []  # Django reports it
    hint = f"Run manage.py migrate{'' if alias == 'default' else f' --database {alias}'}."
    return [Warning(f"The database {alias!r} has no table {table!r}.", hint=hint, id="order_expiry.W003")]


def _check_status(configuration: Configuration) -> Iterator[CheckMessage]:
    field, settings = configuration.status_field, configuration.settings
    called = f"{configuration.model._meta.label}.{field.name}"
    if not isinstance(field, models.CharField | models.TextField | models.IntegerField):
        message = f"ORDERS['STATUS_FIELD'] is {field.name!r}, a {type(field).__name__}: it must hold text or integers."
        yield Error(message, obj=configuration.model, id="order_expiry.E003")
        return
    longest = getattr(field, "max_length", None)
    for name in ("pending", "paid", "expired"):
        value = getattr(settings, name)
        if longest and not isinstance(field, models.IntegerField) and len(value) > longest:
            message = f"ORDERS[{name.upper()!r}] is {value!r}: {called} holds at most {longest} characters."
            yield Error(message, obj=configuration.model, id="order_expiry.E003")


def _check_index(configuration: Configuration) -> Iterator[CheckMessage]:
    model = configuration.model
    has_partial = connections[configuration.alias].features.supports_partial_indexes
    if any(_serves(index, configuration, has_partial=has_partial) for index in _indexes(model)):
        return
    status, deadline = configuration.status_field, configuration.deadline_field
    pending: Any = configuration.settings.pending
    if isinstance(status, models.IntegerField):
        pending = int(pending)
    key, name = model._meta.pk.name, f"{model._meta.model_name}_overdue"[:30]
    if has_partial:
        fields, condition = [deadline.name, key], f", condition=models.Q({status.name}={pending!r})"
    else:
        fields, condition = [status.name, deadline.name, key], ""
    listed = ", ".join(f'"{field}"' for field in fields)
    yield Warning(
        f"No index serves reconciling, which reads the pending rows by {deadline.name} once a minute.",
        hint=f'Add models.Index(fields=[{listed}]{condition}, name="{name}") to Meta.indexes, and migrate. If the '
        'database already has such an index, add "order_expiry.W001" to SILENCED_SYSTEM_CHECKS.',
        obj=model,
        id="order_expiry.W001",
    )


def _indexes(model: type[models.Model]) -> Iterator[tuple[Sequence[str], models.Q | None]]:
    """Yield the fields and the condition of each index that a model declares."""
    for index in model._meta.indexes:
        yield index.fields, index.condition
    for constraint in model._meta.constraints:
        if isinstance(constraint, models.UniqueConstraint):
            yield constraint.fields, constraint.condition
    for together in model._meta.unique_together:
        yield together, None


def _serves(index: tuple[Sequence[str], models.Q | None], configuration: Configuration, *, has_partial: bool) -> bool:
    """Return whether an index yields the pending rows ordered by deadline."""
    fields, condition = index
    status, deadline = configuration.status_field.name, configuration.deadline_field.name
    if condition is not None and not has_partial:
        return False  # Django does not create it
    if list(fields[:2]) == [status, deadline]:
        return condition is None
    # A partial index holds few rows if its condition is on the status.
    return (
        list(fields[:1]) == [deadline] and condition is not None and bool(re.search(rf"'{status}\b", repr(condition)))
    )
