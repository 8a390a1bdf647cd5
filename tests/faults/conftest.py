"""A deployment of its own for each fault."""

from __future__ import annotations

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from orders.embedded import EmbeddedRedis
from tests.faults.celery_files import CELERYCONFIG, DEAF, POISON, SLEEPLESS
from tests.faults.deployment import Deployment
from tests.faults.postgres import AUDIT, PostgresServer


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[EmbeddedRedis]:
    with EmbeddedRedis(tmp_path / "redis") as server:
        yield server
        with suppress(ProcessLookupError):
            os.kill(server.pid, signal.SIGCONT)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    with tempfile.TemporaryDirectory(prefix="orders-pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(Path(folder))
        yield server
        server.close()


@pytest.fixture
def adapter(request: pytest.FixtureRequest) -> str:
    """The name of the framework whose adapter Celery's processes are to use."""
    return os.environ.get("FAULTS_ADAPTER") or str(getattr(request, "param", "sqlalchemy"))


@pytest.fixture
def deployment(
    own_redis: EmbeddedRedis, postgres_url: str, tmp_path: Path, request: pytest.FixtureRequest, adapter: str
) -> Iterator[Deployment]:
    with psycopg.connect(postgres_url) as connection:
        connection.execute(AUDIT)
    folder = tmp_path / "celery"
    folder.mkdir()
    (folder / "celeryconfig.py").write_text(CELERYCONFIG)
    (folder / "deaf.py").write_text(DEAF)
    (folder / "poison.py").write_text(POISON)
    (folder / "sleepless.py").write_text(SLEEPLESS)
    fault = request.node.name.removeprefix("test_").replace("_", " ")
    deployment = Deployment(request.node, folder, own_redis, postgres_url, fault, adapter)
    yield deployment
    deployment.close()


@pytest.fixture(scope="session")
def faketime() -> str:
    """The library that gives a process another clock (Debian's faketime)."""
    found = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    if not found:
        assert not os.environ.get("CI"), "libfaketime is missing"
        pytest.skip("libfaketime is not installed")
    return str(found[0])
