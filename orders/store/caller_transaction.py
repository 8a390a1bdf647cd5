"""Work inside the application's own transaction, and run callbacks after its commit.

SQLAlchemy's commit event fires before the commit, not after it. So a callback waits in ``connection.info`` until that
event, and runs when the connection goes back to the pool or begins its next transaction, whichever comes first. A
rollback discards the callbacks; a rollback to a savepoint discards those that were added since the savepoint. A lost
callback does no harm: it only updates the schedule or writes a log line, and the database decides.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session, scoped_session

from orders.logs import about
from orders.store.port import Joined

logger = logging.getLogger(__name__)

_WAITING = "orders_after_commit"
_RELEASED = "orders_committed"
_SAVEPOINTS = "orders_savepoints"


def connection_of(session: Joined) -> sa.Connection:
    """Return the connection of a session, after flushing the session.

    Raises:
        TypeError: *session* is neither a session nor a connection of SQLAlchemy.
    """
    if isinstance(session, sa.Connection):
        return session
    session = _session(session)
    session.flush()
    return session.connection()


def awaited(session: Joined) -> sa.Connection | None:
    """Return the connection whose commit to wait for; None if no transaction is open. Nothing is flushed.

    Raises:
        TypeError: *session* is neither a session nor a connection of SQLAlchemy.
    """
    if isinstance(session, sa.Connection):
        return session if session.in_transaction() and not _is_autocommit(session) else None
    session = _session(session)
    if session.in_transaction():
        return awaited(session.connection())
    # A session that is bound to a connection may be part of that connection's transaction.
    return awaited(session.bind) if isinstance(session.bind, sa.Connection) else None


@contextmanager
def savepoint(session: Joined, connection: sa.Connection) -> Iterator[None]:
    """Undo everything in this block if it fails, even if the caller catches the error and commits."""
    if not connection.in_transaction():
        connection.begin()
    is_sqlite = connection.dialect.name == "sqlite"
    if is_sqlite and not getattr(connection.connection.driver_connection, "in_transaction", True):
        connection.exec_driver_sql("BEGIN")  # Python's sqlite3 begins only before a write; SAVEPOINT does not count
    nested = connection.begin_nested() if isinstance(session, sa.Connection) else session.begin_nested()
    if not isinstance(session, sa.Connection):
        session.connection()  # only now does the session send its savepoint
    try:
        yield
    except BaseException:
        try:
            nested.rollback()
        except sa.exc.DBAPIError:  # after a deadlock MySQL has ended the transaction and all its savepoints
            _discard(connection)
        raise
    nested.commit()


@contextmanager
def session_of(session: Joined | None, connection: sa.Connection) -> Iterator[Session]:
    """Yield the caller's session or, without one, a session on the connection that cannot commit by itself."""
    if session is not None and not isinstance(session, sa.Connection):
        given = session() if isinstance(session, scoped_session) else session
        yield given
        given.flush()
        return
    with Session(bind=connection, join_transaction_mode="rollback_only") as ours:
        ours.connection()  # joins the transaction, so that a rollback undoes everything, even before the first write
        yield ours
        ours.flush()


def refresh(session: Joined | None, table: str, key: Any) -> None:
    """Expire an order's object in the caller's session: its row was changed by a statement."""
    if session is None or isinstance(session, sa.Connection):
        return
    for instance in list(session.identity_map.values()):
        state = sa.inspect(instance)
        if getattr(state.mapper.local_table, "name", None) == table and state.identity == (key,):
            session.expire(instance)


def after_commit(connection: sa.Connection, call: Callable[[], object]) -> None:
    """Call *call* once the connection's current transaction is committed; never if it is rolled back."""
    connection.info.setdefault(_WAITING, []).append(call)


def _session(session: Session | scoped_session[Session]) -> Session:
    given = session() if isinstance(session, scoped_session) else session
    if not isinstance(given, Session):
        raise TypeError(
            f"session={given!r} is not an SQLAlchemy Session, scoped_session or Connection; with an AsyncSession, "
            "call the function of the same name in `orders.aio`"
        )
    return given


def _is_autocommit(connection: sa.Connection) -> bool:
    default = getattr(connection.dialect, "_on_connect_isolation_level", None)  # as given to `create_engine`
    return connection.get_execution_options().get("isolation_level", default) == "AUTOCOMMIT"


def _info(connection: sa.Connection) -> dict[str, Any]:
    """Return what is noted on a connection; nothing if it was lost, and its notes with it."""
    return {} if connection.invalidated else connection.info


def _discard(connection: sa.Connection, *_: object) -> None:
    info = _info(connection)
    info.pop(_SAVEPOINTS, None)
    info.pop(_WAITING, None)


def _on_commit(connection: sa.Connection) -> None:
    info = _info(connection)
    info.pop(_SAVEPOINTS, None)
    if _WAITING in info:
        info.setdefault(_RELEASED, []).extend(info.pop(_WAITING))


def _on_commit_prepared(connection: sa.Connection, *_: object) -> None:
    _on_commit(connection)


def _on_savepoint(connection: sa.Connection, *_: object) -> None:
    # The savepoint has no name yet. Savepoints are nested, so the last one to begin is the first one to end.
    info = _info(connection)
    info.setdefault(_SAVEPOINTS, []).append(len(info.get(_WAITING, [])))


def _on_release_savepoint(connection: sa.Connection, *_: object) -> int:
    # A savepoint without a mark is older than this module, and so than all callbacks.
    marks: list[int] = _info(connection).get(_SAVEPOINTS, [])
    return marks.pop() if marks else 0


def _on_rollback_savepoint(connection: sa.Connection, *_: object) -> None:
    mark = _on_release_savepoint(connection)
    del _info(connection).get(_WAITING, [])[mark:]


def _on_error(context: sa.ExceptionContext) -> None:
    # Callbacks are released between a commit and the next begin; only that commit can fail in between.
    if context.connection is not None:
        _info(context.connection).pop(_RELEASED, None)


def _on_begin(connection: sa.Connection) -> None:
    _run_callbacks(_info(connection))


def _on_checkin(_: object, record: Any) -> None:
    record.info.pop(_SAVEPOINTS, None)
    record.info.pop(_WAITING, None)
    _run_callbacks(record.info)


def _run_callbacks(info: dict[str, Any]) -> None:
    for call in info.pop(_RELEASED, []):
        try:
            call()
        except Exception:
            logger.exception(
                "could not update the schedule after a commit; reconcile or a worker will correct it",
                extra=about("redis_not_told"),
            )


# At import, for all engines: a listener that is added to an engine or a pool in use fails other threads, which iterate
# over its listeners ("deque mutated during iteration").
_LISTENERS: dict[str, Callable[..., object]] = {
    "commit": _on_commit,
    "commit_twophase": _on_commit_prepared,
    "rollback": _discard,
    "rollback_twophase": _discard,
    "savepoint": _on_savepoint,
    "release_savepoint": _on_release_savepoint,
    "rollback_savepoint": _on_rollback_savepoint,
    "begin": _on_begin,
    "handle_error": _on_error,
}
for _name, _listener in _LISTENERS.items():
    event.listen(sa.Engine, _name, _listener)
event.listen(sa.Pool, "checkin", _on_checkin)
