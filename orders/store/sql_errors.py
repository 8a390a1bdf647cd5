"""Translate the errors of SQLAlchemy and of database drivers into ours: conflict, outage, or the order's fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from sqlalchemy import exc

from orders.config import mask
from orders.errors import SchemaError, StoreConflict, StoreError, StoreUnavailable


class TableAltered(StoreConflict):
    """The statement does not suit the table, which was perhaps altered. Look at the table and try again at once."""


@contextmanager
def translated(url: sa.URL) -> Iterator[None]:
    """Raise SQLAlchemy's errors as ours."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _translate(error, url) from error
    except (exc.CompileError, exc.StatementError) as error:
        raise unsent(error) from error
    except exc.TimeoutError as error:
        raise StoreUnavailable(f"no database connection became free in time: {error}") from error


_ORDERS_FAULT = {"22", "23", "27", "44", "45", "P0", "25P02"}
"""SQLSTATE classes of errors about the row, not the database: data, integrity, and what triggers raise. And what
PostgreSQL answers after an error that a hook has caught: the transaction is aborted."""

_CONFLICTS = {"40001", "40P01"}
"""SQLSTATEs of a serialization failure and of a deadlock: the transaction was rolled back and can be run again."""

_ALTERED = {"42703", "42804", "42846", "42883", "42P01"}
"""SQLSTATEs of a column, table or operator that does not exist, and of a type that does not match."""

_STALE_PLAN = {"RevalidateCachedQuery", "InvalidCachedStatementError"}
"""PostgreSQL's function, and asyncpg's error, for a prepared statement of which a column has another type now."""

_MYSQL_ORDERS_FAULT = {1048, 1644, 1690, 3819, 4025}
"""MySQL's error numbers for NULL in a column that takes none, for SIGNAL in a trigger, for a number out of range, and
for a CHECK constraint (MariaDB's is the last). Its drivers report no SQLSTATE, and some report an OperationalError."""

_MYSQL_ALTERED = {1054, 1146}
"""MySQL's error numbers for a column and a table that do not exist."""

_MYSQL_CONFLICTS = {1213, 1020}
"""MySQL's error number for a deadlock, and MariaDB's for a row that changed since it was read."""


def _translate(error: exc.DBAPIError, url: sa.URL) -> StoreError:
    where = f"the database at ORDERS_DATABASE_URL {mask(url.render_as_string())}"
    return judge(error.orig, where, is_about_data=isinstance(error, exc.DataError | exc.IntegrityError))


def unsent(error: exc.CompileError | exc.StatementError) -> StoreError:
    """Return our error for a statement that SQLAlchemy could not send."""
    if isinstance(error, exc.CompileError):
        return SchemaError(f"a statement does not suit the types of the columns: {error}")
    return StoreError(f"a statement could not be sent: {error}")


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
    if sqlstate in _CONFLICTS or number in _MYSQL_CONFLICTS:
        return StoreConflict(f"{where}: {cause}")
    names = {type(error).__name__, getattr(getattr(error, "diag", None), "source_function", None)}
    if sqlstate in _ALTERED or names & _STALE_PLAN or number in _MYSQL_ALTERED:
        return TableAltered(f"{where}: {cause}")
    if sqlstate:
        is_orders_fault = not _ORDERS_FAULT.isdisjoint((sqlstate, sqlstate[:2]))
    else:
        is_orders_fault = is_about_data or number in _MYSQL_ORDERS_FAULT
    if is_orders_fault:
        return StoreError(f"{where} rejected the statement: {cause}")
    return StoreUnavailable(f"{where}: {cause}")
