"""Pollers: processes that query due orders and expire them. Their code is in benchmarks/polling.py."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

import psycopg
from redis import Redis

from benchmarks import processes
from benchmarks.contender import Bench, Shape
from benchmarks.servers import url_for_psycopg

BATCH_SIZES = (500, 1000, 2000, 5000)
"""The tuned poller uses the fastest of these. It is found before the rounds."""


@dataclass(frozen=True)
class SkipLocked:
    """A tuned ``FOR UPDATE SKIP LOCKED``: two processes with one connection each, and no pause while orders are due."""

    by: Literal["id", "ctid"]
    """How a statement finds the rows that it has locked."""
    batch: int = 2000
    """Rows per transaction."""
    shape: Shape = "batches"

    @property
    def name(self) -> str:
        """The name, with the batch size."""
        return f"FOR UPDATE SKIP LOCKED by {self.by}, {self.batch:,} at a time"

    @property
    def version(self) -> str:
        """The version of the driver."""
        return f"psycopg {version('psycopg')}"

    @property
    def note(self) -> str:
        """What is tuned."""
        return (
            f"2 processes, psycopg, prepared, nothing returned, the fastest of {BATCH_SIZES} rows a transaction; "
            "postgresql.org/docs/current/sql-select.html, The Locking Clause"
        )

    def fill(self, bench: Bench, orders: int) -> None:
        """Do nothing: the table is the queue."""

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start two processes."""
        with polling(bench, ["skip-locked", bench.database_url, self.by, str(self.batch)], number=2) as started:
            yield started


@dataclass(frozen=True)
class Cron:
    """The textbook cron job: SELECT what is due, then UPDATE row by row, in a transaction per row."""

    name: str = "cron, SELECT and UPDATE by row"
    shape: Shape = "one job per order"
    note: str = "SQLAlchemy Core; 1 process, as a cron job is; runs again a second after it has ended"

    @property
    def version(self) -> str:
        """The version of SQLAlchemy."""
        return f"SQLAlchemy {version('sqlalchemy')}"

    def fill(self, bench: Bench, orders: int) -> None:
        """Do nothing: the cron job reads the table."""

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start it."""
        with polling(bench, ["cron", bench.database_url]) as started:
            yield started


@dataclass(frozen=True)
class ZsetTimer:
    """The usual timer on a sorted set: on each tick ZRANGEBYSCORE, then UPDATE and ZREM for each id."""

    name: str = "timer, ZRANGEBYSCORE, UPDATE and ZREM by row"
    shape: Shape = "one job per order"
    note: str = "redis-py and SQLAlchemy Core; 1 process, since several would all work each id; a tick a second"

    @property
    def version(self) -> str:
        """The versions of the libraries."""
        return f"redis-py {version('redis')}, SQLAlchemy {version('sqlalchemy')}"

    def fill(self, bench: Bench, orders: int) -> None:
        """Add the ids to the sorted set ``timer``, by deadline."""
        zadd(bench, "timer", orders)

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start it."""
        with polling(bench, ["timer", bench.database_url, bench.redis_url]) as started:
            yield started


POLLERS = (Cron(), ZsetTimer())
TUNED = (SkipLocked("id"), SkipLocked("ctid"))


def zadd(bench: Bench, key: str, orders: int) -> None:
    """Add the ids 1 to *orders* to a sorted set, scored by the deadlines of their rows."""
    select = "SELECT id, extract(epoch FROM expires_at)::float8 FROM orders WHERE id <= %s"
    with (
        psycopg.connect(url_for_psycopg(bench.database_url)) as connection,
        Redis.from_url(bench.redis_url) as redis,
    ):
        rows = connection.execute(select, [orders])
        while chunk := rows.fetchmany(1000):
            redis.zadd(key, dict(chunk))


@contextmanager
def polling(bench: Bench, arguments: Sequence[str], *, number: int = 1) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    """Start processes of `benchmarks.polling`, with their number as the last argument; stop them at the end."""
    command = [str(bench.python), "-m", "benchmarks.polling", *arguments]
    log, path = bench.folder / "poller.log", str(processes.ROOT)
    with processes.stopped_at_end(
        [processes.start([*command, str(which)], log=log, PYTHONPATH=path) for which in range(number)]
    ) as started:
        yield started
