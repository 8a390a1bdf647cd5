"""Transactions on Flask-SQLAlchemy's engine, and how the use cases join the transaction of ``db.session``."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import sqlalchemy as sa
from flask import Flask
from sqlalchemy import event
from sqlalchemy.orm import Session
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from orders.contrib.flask.contexts import session_context
from orders.store import Joined, SqlTransactions

if TYPE_CHECKING:
    from flask_sqlalchemy import SQLAlchemy

_WROTE = "orders_wrote"
_READS = re.compile(r"\s*(SELECT|SHOW|PRAGMA|EXPLAIN|SAVEPOINT|RELEASE|ROLLBACK|SET)\b", re.IGNORECASE)

_watched: WeakSet[sa.Engine] = WeakSet()
_forking: WeakSet[sa.Engine] = WeakSet()


class FlaskTransactions(SqlTransactions):
    """Transactions in which hooks are called in the app's context, with ``db.session`` on the same connection.

    Args:
        app: the app.
        url: the URL of the database, if there is no engine for it.
        db: the Flask-SQLAlchemy extension, if the orders are in one of its databases.
        engine: its engine, unless workers need a separate one.
    """

    def __init__(self, app: Flask, url: str, db: SQLAlchemy | None, engine: sa.Engine | None) -> None:
        super().__init__(url, engine)
        self._app = app
        self._db = db

    @contextmanager
    def hook_argument(self, session: Joined | None, connection: sa.Connection) -> Iterator[Session]:
        """Yield the session."""
        with super().hook_argument(session, connection) as given, session_context(self._app, self._db, given):
            yield given


def watch(engine: sa.Engine) -> None:
    """Mark each connection whose transaction has written something.

    Not every open transaction is committed: after a commit, reading ``order.id`` begins another one, which ends with
    the request. A call that waited for its commit would be lost.
    """
    if engine in _watched:
        return
    _watched.add(engine)
    event.listen(engine, "after_cursor_execute", _executed)
    for name in ("begin", "commit", "rollback", "commit_twophase", "rollback_twophase"):
        event.listen(engine, name, _ended)


def writing(db: SQLAlchemy, engine: sa.Engine) -> Joined:
    """Return what `enqueue` waits for: ``db.session``'s connection or, with nothing to commit, an empty session."""
    session = db.session()
    if session.in_transaction():
        session.flush()
        connection = _connection(session, engine)
        if _is_of_hook(session) or connection.info.get(_WROTE):
            return connection
    return Session()


def joined(db: SQLAlchemy, engine: sa.Engine) -> Joined:
    """Return what a payment joins: ``db.session`` or, if the orders are not in the default database, its connection."""
    session = db.session()
    if _is_of_hook(session) or db.engines.get(None) is engine:
        return session
    session.flush()
    return _connection(session, engine)


def refresh(db: SQLAlchemy, model: type[Any]) -> None:
    """Make ``db.session`` reload orders when they are next read, because a row changed without it."""
    if not db.session.registry.has():
        return
    session = db.session()
    for instance in list(session.identity_map.values()):
        if isinstance(instance, model) and not session.is_modified(instance):
            session.expire(instance)


def forget_in_children(engine: sa.Engine) -> None:
    """Make processes that are forked from this one open their own connections.

    If the app queries its database while it starts, a connection stays in the pool. All of Celery's child processes
    would share it.
    """
    if isinstance(engine.pool, StaticPool | SingletonThreadPool):
        return  # SQLite in memory: a new connection would see an empty database
    _listen_to_forks()
    _forking.add(engine)


@cache
def _listen_to_forks() -> None:
    os.register_at_fork(after_in_child=_forget_all)


def _forget_all() -> None:
    for engine in list(_forking):
        engine.dispose(close=False)


def _connection(session: Session, engine: sa.Engine) -> sa.Connection:
    return session.connection(bind_arguments=None if _is_of_hook(session) else {"bind": engine})


def _is_of_hook(session: Session) -> bool:
    """Return whether ``db.session`` is a hook's session: it has only one connection, which has written already."""
    return isinstance(session.bind, sa.Connection)


def _executed(connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
    if not _READS.match(statement):
        connection.info[_WROTE] = True


def _ended(connection: sa.Connection, *_: object) -> None:
    connection.info.pop(_WROTE, None)
