"""Django's transactions for the store: its connections, its ``atomic`` blocks, and its ``on_commit``."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import partial, wraps
from typing import Any, cast

import sqlalchemy as sa
from django.conf import settings as django_settings
from django.db import DataError, Error, IntegrityError, connections, transaction
from sqlalchemy import exc

from orders.contrib.django import bridge
from orders.errors import SchemaError
from orders.hooks import HookT
from orders.store import Joined, judge, unsent


class DjangoTransactions:
    """Transactions on one of Django's databases: the caller's ``transaction.atomic``, or our own.

    ``transaction.on_commit`` updates Redis. If that fails, the commit is still valid.

    Args:
        alias: returns the alias of the database to use now. Routers may choose another one each time.
    """

    def __init__(self, alias: Callable[[], str]) -> None:
        self._alias = alias
        self._bridges: dict[str, bridge.Bridge] = {}
        self._checked: set[str] = set()

    @contextmanager
    def begin(self, session: Joined | None = None, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Yield an SQLAlchemy connection on Django's connection; see `orders.store.Transactions`."""
        _reject(session)
        alias = self._alias()
        if alias not in self._checked:
            check(alias)
            self._checked.add(alias)
        with translated(alias), ExitStack() as stack:
            stack.enter_context(bridge.lent(alias))
            bridge.renew(alias)
            if not reading:
                stack.enter_context(bridge.atomic(alias))
            connection = stack.enter_context(self._bridges.setdefault(alias, bridge.Bridge(alias)).connect())
            connection.info["alias"] = alias
            yield connection

    def is_joined(self, session: Joined | None) -> bool:
        """Return whether this thread is in a transaction of the caller."""
        _reject(session)
        return bridge.is_joined(self._alias())

    def forgives(self, session: Joined | None) -> bool:
        """Return True: what Django saved outside ``atomic`` is committed already."""
        _reject(session)
        return True

    def after_commit(self, session: Joined | None, call: Callable[[], object]) -> None:
        """Call *call* after the commit of ``atomic``; outside ``atomic``, at once."""
        transaction.on_commit(call, using=self._alias(), robust=True)

    @contextmanager
    def hook_argument(self, session: Joined | None, connection: sa.Connection) -> Iterator[str]:
        """Yield the alias, for ``objects.using``."""
        yield connection.info["alias"]

    @contextmanager
    def savepoint(self, argument: str) -> Iterator[Callable[[], None]]:
        """Yield a function that makes ``atomic`` roll back to here."""
        with transaction.atomic(using=argument):
            yield partial(transaction.set_rollback, True, using=argument)

    def in_thread(self, hook: HookT) -> HookT:
        """Wrap a hook so that its connections are closed afterwards, because no request ends in its thread."""

        @wraps(hook)
        def call(*arguments: Any) -> Any:
            try:
                return hook(*arguments)
            finally:
                connections.close_all()

        return cast("HookT", call)

    def worker(self) -> AbstractContextManager[None]:
        """Return a context in which attempts use connections that stay open and are passed between threads."""
        return bridge.keeping()

    def database(self, connection: sa.Connection) -> Hashable:
        """Return the alias."""
        return cast("str", connection.info["alias"])

    def close(self) -> None:
        """Close this thread's connection and the kept ones, unless the caller's transaction is using it."""
        alias = self._alias()
        if not bridge.is_joined(alias):
            bridge.close(alias)


class AtOnce(DjangoTransactions):
    """The same for operators: nothing waits for a commit, and a failure of Redis raises an error."""

    def forgives(self, session: Joined | None) -> bool:
        """Return False."""
        _reject(session)
        return False

    def after_commit(self, session: Joined | None, call: Callable[[], object]) -> None:
        """Call *call* now."""
        call()


def check(alias: str) -> None:
    """Check the project's settings for a database.

    Raises:
        SchemaError: a setting is not accepted.
    """
    if problem := time_zone_problem(alias) or autocommit_problem(alias):
        raise SchemaError(problem)


def time_zone_problem(alias: str) -> str | None:
    """Return what is wrong with the project's time zones, if anything: a deadline needs a time zone.

    Args:
        alias: the database of the orders.
    """
    if not django_settings.USE_TZ:
        return "USE_TZ is False: it must be True, because a deadline needs a time zone"
    connection = connections[alias]
    if connection.vendor != "postgresql" and connection.timezone_name != "UTC":
        return (
            f"DATABASES[{alias!r}]['TIME_ZONE'] is {connection.timezone_name!r}: it must be 'UTC' or left out, because "
            "this database stores deadlines without a time zone"
        )
    return None


def autocommit_problem(alias: str) -> str | None:
    """Return what is wrong with ``AUTOCOMMIT``, if anything.

    Args:
        alias: the database of the orders.
    """
    if connections[alias].settings_dict["AUTOCOMMIT"]:
        return None
    return (
        f"DATABASES[{alias!r}]['AUTOCOMMIT'] is False: it must be True, because otherwise nothing commits a worker's "
        "changes, and on_commit is never called"
    )


@contextmanager
def translated(alias: str) -> Iterator[None]:
    """Convert database errors, SQLAlchemy's or Django's, to ours."""
    try:
        yield
    except transaction.TransactionManagementError:
        raise  # a mistake of the caller or a hook, not an outage
    except SchemaError as error:
        raise SchemaError(
            f"DATABASES[{alias!r}]: {error} (in Django, ORDERS names the model; has `manage.py migrate` been run?)"
        ) from error
    except exc.DBAPIError as error:
        about_data = isinstance(error, exc.DataError | exc.IntegrityError)
        raise judge(error.orig, _called(alias), is_about_data=about_data) from error
    except (exc.CompileError, exc.StatementError) as error:
        raise unsent(error) from error
    except Error as error:  # from BEGIN or COMMIT, or from a hook
        about_data = isinstance(error, DataError | IntegrityError)
        raise judge(error.__cause__ or error, _called(alias), is_about_data=about_data) from error


def _called(alias: str) -> str:
    return f"the database at DATABASES[{alias!r}]"


def _reject(session: Joined | None) -> None:
    if session is not None:
        raise TypeError(
            f"session={session!r} is not accepted in Django: calls inside transaction.atomic are part of it"
        )
