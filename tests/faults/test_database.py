"""PostgreSQL down: in the midst of a drain, and when everything starts."""

from __future__ import annotations

import time

import psycopg
import pytest

from tests.faults.deployment import Deployment
from tests.faults.postgres import PostgresServer


@pytest.fixture
def postgres_url(own_postgres: PostgresServer) -> str:
    return own_postgres.url


def test_the_database_down_for_20_seconds(deployment: Deployment, own_postgres: PostgresServer) -> None:
    deployment.drain_half()
    own_postgres.crash()
    time.sleep(20)
    own_postgres.start()
    deployment.finish(within=60)


def test_the_database_down_at_start(deployment: Deployment, own_postgres: PostgresServer) -> None:
    deployment.place()
    own_postgres.crash()
    deployment.beat()
    deployment.worker()
    deployment.ready()
    time.sleep(17)  # and three for the worker to start
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(own_postgres.url)
    deployment.breaks()
    own_postgres.start()
    deployment.finish(within=60)
