"""The orders table of a round, its clock and its audit. None of them costs a contender anything.

- **Clock.** PostgreSQL records the time of each commit (``track_commit_timestamp``), and each row names the transaction
  that wrote it (``xmin``). So ``pg_xact_commit_timestamp(xmin)`` is the time at which the expiry of an order was
  committed, by the database's own clock. It needs no trigger, and can be read after the round.
- **Audit.** PostgreSQL counts the updates of a table (``n_tup_upd``), including those that were rolled back. If all *n*
  rows are expired, each was changed at least once; if there were *n* updates in all, each was changed exactly once.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Self

import psycopg

from benchmarks.servers import url_for_psycopg

CREATE = """
CREATE TABLE orders (id bigint PRIMARY KEY, status text NOT NULL, expires_at timestamptz NOT NULL)
    WITH (autovacuum_enabled = off);  -- it comes once a minute: to some rounds, and not to others
CREATE INDEX orders_pending ON orders (expires_at, id) WHERE status = 'pending';
"""

PLACE = """
INSERT INTO orders
SELECT id, 'pending', statement_timestamp() + make_interval(
    secs => %(due)s + (id - %(first)s) * %(apart)s - CASE WHEN id - %(first)s < %(ahead)s THEN 4 ELSE 0 END
)
FROM generate_series(%(first)s::bigint, %(first)s::bigint + %(number)s - 1) AS id
"""

LOOK = "SELECT id FROM orders WHERE id >= %s AND status = 'pending' ORDER BY id LIMIT 1"

COMMITS = """
WITH changes AS (
    SELECT xmin AS change, count(*) AS orders, max(expires_at) AS latest FROM orders WHERE status = 'expired'
    GROUP BY xmin
), commits AS (
    SELECT pg_xact_commit_timestamp(change) AS at, orders, latest FROM changes
), running AS (
    SELECT *, sum(orders) OVER (ORDER BY at) AS so_far FROM commits
)
SELECT count(*), coalesce(sum(orders), 0), min(at), max(at), coalesce(sum(orders) FILTER (WHERE at < latest), 0),
    (array_agg(orders ORDER BY at))[1],
    min(at) FILTER (WHERE so_far >= 0.1 * %(orders)s), min(at) FILTER (WHERE so_far >= 0.9 * %(orders)s)
FROM running
"""

LATENESS = """
SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin) - expires_at)::float8 FROM orders
WHERE status = 'expired' AND id > %s ORDER BY 1
"""

POLL = 0.02
"""Seconds between two polls of a round. A poll reads one row by primary key."""


@dataclass(frozen=True)
class Audit:
    """The outcome of a round. Times are from the database's clock."""

    orders: int
    expired: int
    left: int
    """Orders that had not expired when the round ended: lost, or too late for the time limit."""
    doubled: int
    """Updates beyond one per expired order, including those that were rolled back."""
    early: int
    """Orders that were expired before their deadline."""
    transactions: int
    """Number of transactions that expired orders."""
    seconds: float
    """Seconds from the first expiry to the last."""
    wall: float
    """Seconds from the start of the contender's processes to the last expiry."""
    rate: float
    """Orders per second, from the first commit to the last. The orders of the first transaction do not count: it ran
    before the clock started."""
    middle_rate: float
    """Orders per second between the first tenth of the orders and the last."""

    @property
    def is_right(self) -> bool:
        """Whether every order was expired exactly once."""
        return self.expired == self.orders and not (self.left or self.doubled or self.early)


class OrdersTable:
    """The table ``orders`` in the database of a round.

    Args:
        database_url: the URL for SQLAlchemy.
    """

    def __init__(self, database_url: str) -> None:
        self._connection = psycopg.connect(url_for_psycopg(database_url), autocommit=True)
        self._connection.execute("SET statement_timeout = '60s'")
        self._cursor = 1
        self._released: datetime | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def place(self, number: int, *, first: int = 1, due: float = -3600.0, apart: float = 0.001, ahead: int = 0) -> None:
        """Create the table with pending orders.

        Args:
            number: how many.
            first: the lowest id; the others follow.
            due: seconds from now to the first deadline.
            apart: seconds from one deadline to the next.
            ahead: how many of the lowest ids are due 4 s earlier than that.
        """
        self._connection.execute(CREATE)
        self._connection.execute(PLACE, {"number": number, "first": first, "due": due, "apart": apart, "ahead": ahead})
        self._connection.execute("VACUUM ANALYZE orders")
        self._connection.execute("CHECKPOINT")
        self._cursor = first

    def release(self) -> None:
        """Start the clock for `Audit.wall`. Call this when the contender's processes start."""
        self._released = self._scalar("SELECT clock_timestamp()")

    def first_pending(self) -> int | None:
        """Return the lowest pending id, or None. The search continues from the id that it found last."""
        found = self._connection.execute(LOOK, [self._cursor]).fetchone()
        if found is None:
            return None
        self._cursor = found[0]
        return self._cursor

    def audit(self, *, within: float = 10.0) -> Audit:
        """Check the table. The contender's processes must have ended; only then are PostgreSQL's counts complete."""
        give_up = time.monotonic() + within
        while self._others() and time.monotonic() < give_up:
            time.sleep(POLL)
        orders = self._scalar("SELECT count(*) FROM orders")
        changed = self._scalar("SELECT pg_stat_get_tuples_updated('orders'::regclass)")
        found = self._connection.execute(COMMITS, {"orders": orders}).fetchone()
        assert found is not None  # noqa: S101 - an aggregate always returns a row
        transactions, expired, begin, end, early, in_first, tenth, ninth = found
        seconds = (end - begin).total_seconds() if expired else 0.0
        middle = (ninth - tenth).total_seconds() if tenth and ninth else 0.0
        return Audit(
            orders=orders,
            expired=int(expired),
            left=orders - int(expired),
            doubled=max(changed - int(expired), 0),
            early=int(early),
            transactions=transactions,
            seconds=seconds,
            wall=(end - self._released).total_seconds() if end and self._released else 0.0,
            rate=(int(expired) - in_first) / seconds if seconds else 0.0,
            middle_rate=0.8 * orders / middle if middle else 0.0,
        )

    def lateness(self, *, after: int = 0) -> list[float]:
        """Return the seconds from deadline to commit of each expired order with an id above *after*, ascending."""
        return [seconds for (seconds,) in self._connection.execute(LATENESS, [after])]

    def wal_bytes(self) -> float:
        """Return the bytes of WAL that PostgreSQL has written so far."""
        return float(self._scalar("SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::float8"))

    def _others(self) -> int:
        select = """
            SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'
        """
        return int(self._scalar(select))

    def _scalar(self, query: str) -> Any:
        found = self._connection.execute(query.encode()).fetchone()
        return found and found[0]
