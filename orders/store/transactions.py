"""Transactions on SQLAlchemy: new ones on an engine, or the one of the caller's session."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import sqlalchemy as sa

from orders.hooks import HookT
from orders.store import caller_transaction
from orders.store.engine import READING, create_engine
from orders.store.port import Joined
from orders.store.sql_errors import translated


class SqlTransactions:
    """Transactions on SQLAlchemy. No driver is imported and nothing is connected before the first one begins.

    Args:
        url: the URL of the database, as in ``ORDERS_DATABASE_URL``.
        engine: the application's engine, to use instead of a new one for that URL. `close` does not dispose of it.
    """

    def __init__(self, url: str, engine: sa.Engine | None = None) -> None:
        self._url = url
        self._engine = engine
        self._is_ours = engine is None

    @property
    def engine(self) -> sa.Engine:
        """The engine for transactions without a session."""
        if self._engine is None:
            self._engine = create_engine(self._url)
        return self._engine

    @contextmanager
    def begin(self, session: Joined | None = None, *, reading: bool = False) -> Iterator[sa.Connection]:
        """Yield a connection in a transaction; see `orders.store.Transactions`."""
        if session is None:
            engine = self.engine
            with (
                translated(engine.url),
                engine.connect().execution_options(**{READING: reading}) as connection,
                connection.begin(),
            ):
                yield connection
            return
        connection = caller_transaction.connection_of(session)
        with translated(connection.engine.url), caller_transaction.savepoint(session, connection):
            yield connection

    def is_joined(self, session: Joined | None) -> bool:
        """Return whether the caller passed a session."""
        return session is not None

    forgives = is_joined

    def after_commit(self, session: Joined | None, call: Callable[[], object]) -> None:
        """Call *call* after the commit of the session; now if it has no open transaction."""
        connection = None if session is None else caller_transaction.awaited(session)
        if connection is None:
            call()
        else:
            caller_transaction.after_commit(connection, call)

    def hook_argument(self, session: Joined | None, connection: sa.Connection) -> AbstractContextManager[Any]:
        """Return the caller's session, or a session on the connection that cannot commit by itself."""
        return caller_transaction.session_of(session, connection)

    @contextmanager
    def savepoint(self, argument: Any) -> Iterator[Callable[[], None]]:
        """Yield a function that rolls back to this savepoint."""
        with argument.begin_nested() as nested:
            yield nested.rollback

    def in_thread(self, hook: HookT) -> HookT:
        """Return the hook unchanged: it closes its connections itself."""
        return hook

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Do nothing: threads already share the engine's pool."""
        yield

    def database(self, connection: sa.Connection) -> Hashable:
        """Return None for our own engine, else the URL of the caller's."""
        return None if connection.engine is self._engine else connection.engine.url

    def close(self) -> None:
        """Dispose of our own engine, if it was used."""
        if self._is_ours and self._engine is not None:
            self._engine.dispose()
