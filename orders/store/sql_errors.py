"""Translate the errors of SQLAlchemy and of database drivers into ours: conflict, outage, or the order's fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import exc

from orders.config import mask
from orders.errors import StoreConflict, StoreError, StoreUnavailable


@contextmanager
def translated(url: sa.URL) -> Iterator[None]:
    """Raise SQLAlchemy's errors as ours."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _translate(error, url) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable(f"no database connection became free in time: {error}") from error


_ORDERS_FAULT = {"22", "23", "27", "44", "45", "P0"}
"""SQLSTATE classes of errors about the row, not the database: data, integrity, and what triggers raise."""

_CONFLICTS = {"40001", "40P01"}
"""SQLSTATEs of a serialization failure and of a deadlock: the transaction was rolled back and can be run again."""

_MYSQL_SIGNAL = 1644
"""MySQL's error number for SIGNAL in a trigger; its drivers do not report the SQLSTATE."""

_MYSQL_CONFLICTS = {1213, 1020}
"""MySQL's error number for a deadlock, and MariaDB's for a row that changed since it was read."""


def _translate(error: exc.DBAPIError, url: sa.URL) -> StoreError:
    where = f"the database at ORDERS_DATABASE_URL {mask(url.render_as_string())}"
    return judge(error.orig, where, is_about_data=isinstance(error, exc.DataError | exc.IntegrityError))


def judge(error: BaseException | None, where: str, *, is_about_data: bool) -> StoreError:
    """Return our error for a driver's error.

    Args:
        error: what the driver raised.
        where: names the database in the message.
        is_about_data: whether it is a DataError or IntegrityError; used if the driver reports no SQLSTATE.
    """
    cause = str(error).strip()
    sqlstate = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    number = error.args[0] if error and error.args else None
    if sqlstate in _CONFLICTS or (not sqlstate and number in _MYSQL_CONFLICTS):
        return StoreConflict(f"{where}: {cause}")
    is_orders_fault = sqlstate[:2] in _ORDERS_FAULT if sqlstate else is_about_data or number == _MYSQL_SIGNAL
    if is_orders_fault:
        return StoreError(f"{where} rejected the statement: {cause}")
    return StoreUnavailable(f"{where}: {cause}")
