"""A shop in Django, and one in Flask: what breaks in one drain, one after another.

``FAULTS_ADAPTER=django pytest tests/faults`` runs every other test with Django's adapter too, or with Flask's.
"""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from tests.faults.deployment import Deployment
from tests.faults.postgres import PostgresServer


@pytest.fixture
def postgres_url(own_postgres: PostgresServer) -> str:
    return own_postgres.url


@pytest.mark.parametrize("adapter", ["django", "flask"], indirect=True)
def test_one_fault_after_another(deployment: Deployment, own_postgres: PostgresServer) -> None:
    # given a shop whose hook gives stock back by the framework's models, and fails for order 7
    # (an order that is tried when a worker is killed, and again when the next one is, has one attempt left)
    deployment.change(max_attempts=3, lease=4.0, max_backlog=250)
    deployment.environment["SHOP_POISON"] = "7"
    deployment.beat()
    worker = deployment.worker()
    deployment.ready()
    deployment.place(1000)
    # when its worker is killed twice, Redis is emptied, and the database crashes and is away for a while
    for death in range(2):
        deployment.until_expired(50 + death * 150)
        deployment.kill(worker)
        worker = deployment.worker(f"after{death}")
    deployment.until_expired(350)
    deployment.redis.flushall()
    deployment.until_expired(500)
    own_postgres.crash()
    time.sleep(2)  # long enough for attempts that fail, in less than a sweep's interval each
    own_postgres.start()
    deployment.breaks()
    # then every order ends once, and gives its stock back once
    deployment.dead = 1
    deployment.finish(within=60)
    with deployment.engine.connect() as connection:
        given_back = sa.text("SELECT count(*), count(DISTINCT order_id) FROM given_back")
        assert connection.execute(given_back).one() == (899, 899)
    # and the one that cannot is buried, with what its hook said
    [(order_id, letter)] = deployment.expiry.schedule.dead()
    assert order_id == "7"
    assert "no place for order 7" in letter["reason"]
