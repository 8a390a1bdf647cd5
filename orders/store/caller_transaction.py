"""Work in a transaction of the application's own, and what follows once that has been committed.

SQLAlchemy tells of a commit before it happens, not after. What follows is therefore kept on the connection, released
by the commit, and done when the connection is given back, or begins anew, whichever comes first. A rollback forgets
it, and one to a savepoint what has been kept since: what follows is only ever a hint to the schedule, and the
database has the last word.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakSet

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session

from orders.logs import about
from orders.store.port import Joined

logger = logging.getLogger(__name__)

_WAITING = "orders_after_commit"
_RELEASED = "orders_committed"
_SAVEPOINTS = "orders_savepoints"
_listening = Lock()
_listened: WeakSet[Any] = WeakSet()


def connection_of(joined: Joined) -> sa.Connection:
    """Return the connection of a session, with what the session has pending written to it.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(joined, sa.Connection):
        return joined
    session = _session(joined)
    session.flush()
    return session.connection()


def awaited(joined: Joined) -> sa.Connection | None:
    """Return the connection whose commit there is to wait for; None if no transaction is open. Nothing is flushed.

    Raises:
        TypeError: it is something else.
    """
    if isinstance(joined, sa.Connection):
        return joined if joined.in_transaction() and not _commits_by_itself(joined) else None
    session = _session(joined)
    if session.in_transaction():
        return awaited(session.connection())
    # A session that is bound to a connection may be in a transaction of that one.
    return awaited(session.bind) if isinstance(session.bind, sa.Connection) else None


@contextmanager
def savepoint(joined: Joined, connection: sa.Connection) -> Iterator[None]:
    """Have what fails in here leave nothing behind, even if the caller catches the error and commits."""
    if not connection.in_transaction():
        connection.begin()
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite and not getattr(connection.connection.driver_connection, "in_transaction", True):
        connection.exec_driver_sql("BEGIN")  # Python's sqlite3 begins with a write, and takes a savepoint for none
    nested = connection.begin_nested() if isinstance(joined, sa.Connection) else joined.begin_nested()
    if not isinstance(joined, sa.Connection):
        joined.connection()  # only now does the session send its savepoint
    try:
        yield
    except BaseException:
        try:
            nested.rollback()
        except sa.exc.DBAPIError:  # after a deadlock MySQL has ended the transaction, savepoints and all
            _forgets(connection)
        raise
    nested.commit()


@contextmanager
def session_of(joined: Joined | None, connection: sa.Connection) -> Iterator[Session]:
    """Yield the caller's session or, without one, a session on the connection that cannot commit by itself."""
    if joined is not None and not isinstance(joined, sa.Connection):
        session = joined() if isinstance(joined, scoped_session) else joined
        yield session
        session.flush()
        return
    with Session(bind=connection, join_transaction_mode="rollback_only") as session:
        session.connection()  # joins, so that a rollback undoes everything, even if nothing was written before
        yield session
        session.flush()


def refresh(joined: Joined | None, table: str, key: Any) -> None:
    """Have the caller's session load an order again when it is looked at next: its row was changed beneath it."""
    if joined is None or isinstance(joined, sa.Connection):
        return
    for instance in list(joined.identity_map.values()):
        state = sa.inspect(instance)
        if getattr(state.mapper.local_table, "name", None) == table and state.identity == (key,):
            joined.expire(instance)


def after_commit(connection: sa.Connection, call: Callable[[], object]) -> None:
    """Call something once the connection's present transaction has been committed; never if it is rolled back."""
    connection.info.setdefault(_WAITING, []).append(call)
    engine = connection.engine
    _listen(connection, _ON_CONNECTION)
    _listen(engine, {"handle_error": _fails})
    _listen(engine.pool, {"checkin": _given_back})


def _session(joined: Session | scoped_session[Session]) -> Session:
    session = joined() if isinstance(joined, scoped_session) else joined
    if not isinstance(session, Session):
        raise TypeError(
            f"session={joined!r}: accepted is an SQLAlchemy Session, scoped_session or Connection; with an "
            "AsyncSession, call the function of the same name in `orders.aio`"
        )
    return session


def _listen(target: sa.Connection | sa.Engine | sa.Pool, listeners: Mapping[str, Callable[..., object]]) -> None:
    """Listen to something, once."""
    with _listening:
        # (SQLAlchemy's own `event.contains` takes a new connection for an old one that had the same address.)
        if target in _listened:
            return
        _listened.add(target)
    for name, listener in listeners.items():
        event.listen(target, name, listener)


def _commits_by_itself(connection: sa.Connection) -> bool:
    by_default = getattr(connection.dialect, "_on_connect_isolation_level", None)  # that of `create_engine`
    return connection.get_execution_options().get("isolation_level", by_default) == "AUTOCOMMIT"


def _commits(connection: sa.Connection) -> None:
    connection.info.pop(_SAVEPOINTS, None)
    connection.info.setdefault(_RELEASED, []).extend(connection.info.pop(_WAITING, []))


def _commits_prepared(connection: sa.Connection, xid: object, is_prepared: bool) -> None:  # noqa: ARG001, FBT001 - SQLAlchemy's signature
    _commits(connection)


def _forgets(connection: sa.Connection, *_: object) -> None:
    connection.info.pop(_SAVEPOINTS, None)
    connection.info.pop(_WAITING, None)


def _marks(connection: sa.Connection, *_: object) -> None:
    # (Its name is not known yet. The one that ends first is the one that began last.)
    connection.info.setdefault(_SAVEPOINTS, []).append(len(connection.info.get(_WAITING, [])))


def _releases(connection: sa.Connection, *_: object) -> int:
    # One that has no mark is older than all that waits: we have listened since the first of that.
    marks: list[int] = connection.info.get(_SAVEPOINTS, [])
    return marks.pop() if marks else 0


def _returns(connection: sa.Connection, *_: object) -> None:
    mark = _releases(connection)
    del connection.info.get(_WAITING, [])[mark:]


def _fails(context: sa.ExceptionContext) -> None:
    # Between a commit and the next beginning, what can fail is that commit.
    if context.connection is not None:
        context.connection.info.pop(_RELEASED, None)


def _begins(connection: sa.Connection) -> None:
    _call(connection.info)


def _given_back(_: object, record: Any) -> None:
    record.info.pop(_SAVEPOINTS, None)
    record.info.pop(_WAITING, None)
    _call(record.info)


def _call(info: dict[str, Any]) -> None:
    for call in info.pop(_RELEASED, []):
        try:
            call()
        except Exception:
            logger.exception(
                "what was to follow a commit failed; the schedule will find out by itself",
                extra=about("redis_not_told"),
            )


_ON_CONNECTION: dict[str, Callable[..., object]] = {
    "commit": _commits,
    "commit_twophase": _commits_prepared,
    "rollback": _forgets,
    "rollback_twophase": _forgets,
    "savepoint": _marks,
    "release_savepoint": _releases,
    "rollback_savepoint": _returns,
    "begin": _begins,
}
