"""Transactions on Flask-SQLAlchemy's engine, and how the use cases join that of ``db.session``."""

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
        url: of the database, if there is no engine for it.
        db: the Flask-SQLAlchemy extension, if orders are in one of its databases.
        engine: its engine, unless workers need one of their own.
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
    """Note on each connection whether its transaction has written anything.

    Not every transaction that is open is going to be committed: after a commit, the first look at ``order.id`` begins
    another, which ends with the request. What waited for that one's commit would be forgotten.
    """
    if engine in _watched:
        return
    _watched.add(engine)
    event.listen(engine, "after_cursor_execute", _executed)
    for name in ("begin", "commit", "rollback", "commit_twophase", "rollback_twophase"):
        event.listen(engine, name, _ended)


def writing(db: SQLAlchemy, engine: sa.Engine) -> Joined:
    """Return what the schedule waits for: ``db.session``'s connection or, with nothing to commit, an empty session."""
    session = db.session()
    if session.in_transaction():
        session.flush()
        connection = _connection(session, engine)
        if _is_of_hook(session) or connection.info.get(_WROTE):
            return connection
    return Session()


def joined(db: SQLAlchemy, engine: sa.Engine) -> Joined:
    """Return what a payment joins: ``db.session`` or, if orders are not in its default database, its connection."""
    session = db.session()
    if _is_of_hook(session) or db.engines.get(None) is engine:
        return session
    session.flush()
    return _connection(session, engine)


def refresh(db: SQLAlchemy, model: type[Any]) -> None:
    """Have ``db.session`` load orders again when they are looked at next: a row was changed beneath it."""
    if not db.session.registry.has():
        return
    session = db.session()
    for instance in list(session.identity_map.values()):
        if isinstance(instance, model) and not session.is_modified(instance):
            session.expire(instance)


def forget_in_children(engine: sa.Engine) -> None:
    """Have processes that are forked from this one open connections of their own.

    An app that asks its database something while it starts leaves a connection in the pool. Celery's processes would
    all talk over that one.
    """
    if isinstance(engine.pool, StaticPool | SingletonThreadPool):
        return  # SQLite in memory: there is nothing elsewhere to connect to
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
    """Tell whether ``db.session`` is what a hook was given: it has but one connection, and that has been written to."""
    return isinstance(session.bind, sa.Connection)


def _executed(connection: sa.Connection, _cursor: object, statement: str, *_: object) -> None:
    if not _READS.match(statement):
        connection.info[_WROTE] = True


def _ended(connection: sa.Connection, *_: object) -> None:
    connection.info.pop(_WROTE, None)
