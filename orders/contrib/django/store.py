"""The store of a Django project: `orders.store.SqlStore` on Django's own connections and in Django's transactions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from django.conf import settings as django_settings
from django.db import DataError, Error, IntegrityError, connections, transaction
from sqlalchemy import exc

from orders.clock import Clock
from orders.contrib.django import bridge
from orders.errors import SchemaError
from orders.hooks import Hooks
from orders.store import Joined, SqlStore, Tables, Work, judge

if TYPE_CHECKING:
    from orders.config import Settings


SESSION = "session={!r}: accepted is none in Django; what is called within transaction.atomic is part of it"
"""What is said to who passes a session."""


@dataclass(frozen=True)
class DjangoWork(Work):
    """Work in one of Django's transactions. Hooks are given the alias of its database, for ``objects.using``."""

    alias: str = ""
    to_python: Callable[[Any], Any] = str
    """Turns an id as the column holds it into one as the model has it."""

    @contextmanager
    def _given(self) -> Iterator[str]:
        yield self.alias

    @contextmanager
    def _savepoint(self, given: str) -> Iterator[Callable[[], None]]:
        with transaction.atomic(using=given):
            yield partial(transaction.set_rollback, True, using=given)

    def _known(self, key: Any) -> Any:
        return self.to_python(key)


class DjangoStore(SqlStore):
    """The store of a Django model. In the caller's ``transaction.atomic`` it works in that, and outside in its own.

    Nothing is connected before the first call. Safe to share by threads: Django has a connection for each.

    Args:
        settings: the names of the table and its columns, and the shop's words for the states.
        alias: returns the alias of the database to use now.
        hooks: what the shop wants done in the same transaction.
        to_python: turns an id as the column holds it into one as the model has it, for the hooks.
        clock: decides what is due; see `SqlStore`.
    """

    def __init__(
        self,
        settings: Settings,
        alias: Callable[[], str],
        *,
        hooks: Hooks | None = None,
        to_python: Callable[[Any], Any] = lambda key: key,
        clock: Clock | None = None,
    ) -> None:
        super().__init__(settings, hooks=hooks, clock=clock)
        self._find_alias = alias
        self._to_python = to_python
        self._bridges: dict[str, bridge.Bridge] = {}
        self._found: dict[str, Tables] = {}

    @property
    def alias(self) -> str:
        """The alias of the database to use now."""
        return self._find_alias()

    def close(self) -> None:
        """Close this thread's connection, unless a transaction of the caller's needs it, and those that are kept."""
        if not bridge.is_joined(self.alias):
            bridge.close(self.alias)

    @contextmanager
    def _work(self, joined: Joined | None) -> Iterator[Work]:
        if joined is not None:
            raise TypeError(SESSION.format(joined))
        alias, tables = self.alias, self._tables
        with self._transaction() as connection:
            work = self._work_on(connection, tables)
            yield work
            for call in work.following:
                transaction.on_commit(call, using=alias, robust=True)

    def _work_on(self, connection: sa.Connection, tables: Tables, joined: Joined | None = None) -> DjangoWork:
        return DjangoWork(
            connection,
            tables,
            self._settings,
            self._hooks,
            joined,
            alias=connection.info["alias"],
            to_python=self._to_python,
        )

    @contextmanager
    def _transaction(self, *, reading: bool = False) -> Iterator[sa.Connection]:
        alias = self.alias
        with translated(alias), ExitStack() as stack:
            stack.enter_context(bridge.lent(alias))
            bridge.renew(alias)
            if not reading:
                stack.enter_context(bridge.atomic(alias))
            connection = stack.enter_context(self._bridge(alias).connect())
            connection.info["alias"] = alias
            yield connection

    def _bridge(self, alias: str) -> bridge.Bridge:
        return self._bridges.setdefault(alias, bridge.Bridge(alias))

    @property
    def _tables(self) -> Tables:  # the routers may name another database each time
        alias = self.alias
        if alias not in self._found:
            with self._transaction(reading=True) as connection:
                self._found[alias] = self._find(connection)
        return self._found[alias]

    def _find(self, connection: sa.Connection) -> Tables:
        alias = connection.info["alias"]
        if problem := time_zone_problem(alias) or autocommit_problem(alias):
            raise SchemaError(problem)
        try:
            return super()._find(connection)
        except SchemaError as error:
            raise SchemaError(
                f"DATABASES[{alias!r}]: {error} (in Django, ORDERS names the model: is `manage.py migrate` to be run?)"
            ) from error


def time_zone_problem(alias: str) -> str | None:
    """Return what is wrong with the project's time zones, if anything: deadlines must be instants.

    Args:
        alias: the database of the orders.
    """
    if not django_settings.USE_TZ:
        return "USE_TZ is False: accepted is True, because a deadline without a time zone is no instant"
    connection = connections[alias]
    if connection.vendor != "postgresql" and connection.timezone_name != "UTC":
        return (
            f"DATABASES[{alias!r}]['TIME_ZONE'] is {connection.timezone_name!r}: accepted is 'UTC', or to leave it "
            "out, because this database keeps no time zone beside a deadline"
        )
    return None


def autocommit_problem(alias: str) -> str | None:
    """Return what is wrong if Django never commits by itself.

    Args:
        alias: the database of the orders.
    """
    if connections[alias].settings_dict["AUTOCOMMIT"]:
        return None
    return (
        f"DATABASES[{alias!r}]['AUTOCOMMIT'] is False: accepted is True, because nothing would commit what a worker "
        "does, and on_commit would never be called"
    )


@contextmanager
def translated(alias: str) -> Iterator[None]:
    """Turn the errors of a database, SQLAlchemy's or Django's, into ours."""
    try:
        yield
    except transaction.TransactionManagementError:
        raise  # the caller's or a hook's own mistake, and no outage
    except exc.DBAPIError as error:
        about_data = isinstance(error, exc.DataError | exc.IntegrityError)
        raise judge(error.orig, _called(alias), is_about_data=about_data) from error
    except Error as error:  # of a BEGIN or a COMMIT, or of what a hook has done
        about_data = isinstance(error, DataError | IntegrityError)
        raise judge(error.__cause__ or error, _called(alias), is_about_data=about_data) from error


def _called(alias: str) -> str:
    return f"the database at DATABASES[{alias!r}]"
