"""Django's transactions, for the store: on its connections, in its ``atomic`` blocks, told of its commits."""

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
from orders.store import Joined, judge


class DjangoTransactions:
    """Transactions of one of Django's databases: the caller's ``transaction.atomic``, or else our own.

    Redis is told by ``transaction.on_commit``. If it fails then, what is committed stands.

    Args:
        alias: returns the alias of the database to use now: routers may name another each time.
    """

    def __init__(self, alias: Callable[[], str]) -> None:
        self._alias = alias
        self._bridges: dict[str, bridge.Bridge] = {}
        self._checked: set[str] = set()

    @contextmanager
    def begin(self, session: Joined | None = None, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Yield an SQLAlchemy connection that is Django's underneath; see `orders.store.Transactions`."""
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
        """Tell whether this thread is in a transaction of the caller's."""
        _reject(session)
        return bridge.is_joined(self._alias())

    def forgives(self, session: Joined | None) -> bool:
        """Return True: whatever Django has saved outside of ``atomic`` is committed too."""
        _reject(session)
        return True

    def after_commit(self, session: Joined | None, call: Callable[[], object]) -> None:
        """Call this after the commit of ``atomic``; outside, at once."""
        transaction.on_commit(call, using=self._alias(), robust=True)

    @contextmanager
    def hook_argument(self, session: Joined | None, connection: sa.Connection) -> Iterator[str]:
        """Yield the alias, for ``objects.using``."""
        yield connection.info["alias"]

    @contextmanager
    def savepoint(self, argument: str) -> Iterator[Callable[[], None]]:
        """Yield what has ``atomic`` roll back to here."""
        with transaction.atomic(using=argument):
            yield partial(transaction.set_rollback, True, using=argument)

    def in_thread(self, hook: HookT) -> HookT:
        """Return what closes the connections that the hook has opened: no request ends in that thread."""

        @wraps(hook)
        def call(*arguments: Any) -> Any:
            try:
                return hook(*arguments)
            finally:
                connections.close_all()

        return cast("HookT", call)

    def worker(self) -> AbstractContextManager[None]:
        """Return what has attempts use connections that stay open and go from thread to thread."""
        return bridge.keeping()

    def database(self, connection: sa.Connection) -> Hashable:
        """Return the alias."""
        return cast("str", connection.info["alias"])

    def close(self) -> None:
        """Close this thread's connection, unless a transaction of the caller's needs it, and those that are kept."""
        alias = self._alias()
        if not bridge.is_joined(alias):
            bridge.close(alias)


class AtOnce(DjangoTransactions):
    """The same for operators, who want to know: nothing waits for a commit, and a Redis that fails raises."""

    def forgives(self, session: Joined | None) -> bool:
        """Return False."""
        _reject(session)
        return False

    def after_commit(self, session: Joined | None, call: Callable[[], object]) -> None:
        """Call this now."""
        call()


def check(alias: str) -> None:
    """Check that the project's settings for a database can serve.

    Raises:
        SchemaError: they cannot; the error says what is accepted.
    """
    if problem := time_zone_problem(alias) or autocommit_problem(alias):
        raise SchemaError(problem)


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
    except SchemaError as error:
        raise SchemaError(
            f"DATABASES[{alias!r}]: {error} (in Django, ORDERS names the model: is `manage.py migrate` to be run?)"
        ) from error
    except exc.DBAPIError as error:
        about_data = isinstance(error, exc.DataError | exc.IntegrityError)
        raise judge(error.orig, _called(alias), is_about_data=about_data) from error
    except Error as error:  # of a BEGIN or a COMMIT, or of what a hook has done
        about_data = isinstance(error, DataError | IntegrityError)
        raise judge(error.__cause__ or error, _called(alias), is_about_data=about_data) from error


def _called(alias: str) -> str:
    return f"the database at DATABASES[{alias!r}]"


def _reject(session: Joined | None) -> None:
    if session is not None:
        raise TypeError(
            f"session={session!r}: not accepted in Django, where calls inside transaction.atomic are part of it"
        )
