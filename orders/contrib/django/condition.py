"""The shop's condition as Django writes conditions: a ``Q``, an ``Exists``, or what else ``filter`` accepts."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import sqlalchemy as sa
from django.core.exceptions import EmptyResultSet
from django.db import models

from orders.errors import ConfigError
from orders.hooks import ConditionHook


def to_expression(
    model: type[models.Model], alias: Callable[[], str], hook: ConditionHook, table: sa.TableClause
) -> sa.ColumnElement[bool]:
    """Call ``@orders.condition`` with the model, and return its condition as an SQLAlchemy expression on *table*.

    The rows that meet it are a subquery, so that the condition may follow relations.

    Raises:
        ConfigError: it is not a condition on this model.
    """
    given = hook(model)
    try:
        query = model._base_manager.using(alias()).filter(given).order_by().values("pk").query
        sql, parameters = query.get_compiler(using=alias()).as_sql()
    except EmptyResultSet:
        return sa.false()
    except Exception as error:
        raise ConfigError(
            f"@orders.condition returned {given!r}: it must be a condition on {model._meta.label}, such as "
            f"Q(paid_at=None): {error}"
        ) from error
    key = table.c[str(model._meta.pk.column)]
    return key.in_(_text(sql, parameters).columns(key))


def _text(sql: str, parameters: Any) -> sa.TextClause:
    """Return Django's SQL, with ``%s`` for parameters and ``%%`` for a percent sign, as SQLAlchemy's."""
    escaped = sql.replace(":", r"\:").replace("%%", "\0")
    numbers = count()
    parts = escaped.split("%s")
    named = "".join(part + f":_shops_{next(numbers)}" for part in parts[:-1]) + parts[-1]
    # Without a type: Django has converted the values for the driver already, and a cast would not fit every column.
    bound = [sa.bindparam(f"_shops_{number}", value, sa.types.NULLTYPE) for number, value in enumerate(parameters)]
    return sa.text(named.replace("\0", "%")).bindparams(*bound)
