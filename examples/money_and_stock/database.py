"""The shop's own engine and transactions."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any, cast

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

import orders
from orders.store.engine import create_engine


@cache
def engine() -> sa.Engine:
    """Return the shop's engine.

    It is created at the first call, not at import: a worker imports the hooks and then forks, and processes must not
    share a connection.
    """
    return create_engine(orders.current().settings.database_url)


def transaction() -> AbstractContextManager[Session]:
    """Return a session in a transaction that is committed at the end of the block."""
    return sessionmaker(engine()).begin()


def changes_a_row(session: Session, update: sa.Update) -> bool:
    """Run a conditional update; return whether its condition was true."""
    result = cast("sa.CursorResult[Any]", session.execute(update))
    return result.rowcount == 1
