"""Messages that come twice or too late, and orders that nothing can be done with."""

from __future__ import annotations

import re

import pytest
from celery import Celery

from orders.expiry.sweep import Dispatch
from tests.faults.deployment import POOL, Deployment


def send(redis_url: str, dispatches: list[Dispatch]) -> None:
    app = Celery(broker=redis_url, set_as_current=False)
    for dispatch in dispatches:
        app.send_task("orders.expire", args=dispatch.order_ids, kwargs={"lease": dispatch.lease}, queue="orders.expire")
    app.close()


def test_messages_that_come_twice_or_too_late(deployment: Deployment) -> None:
    # given messages of a claim whose lease has run out, and of one that holds, twice
    deployment.place()
    stale = deployment.expiry.schedule.claim(1000)
    deployment.redis.zadd("orders", {claimed.order_id: stale.now for claimed in stale.claimed})
    held = deployment.expiry.schedule.claim(500)
    dispatches = [
        Dispatch((claimed.order_id,), claim.lease, None, None)  # type: ignore[arg-type]
        for claim in (stale, held, held)
        for claimed in claim.claimed
    ]
    send(deployment.redis_server.url, dispatches)
    # when workers take them
    deployment.breaks()
    deployment.beat()
    deployment.worker()
    # then what is void does nothing
    deployment.finish()
    told = re.findall(r"expire \{.*?'stale': (\d+)", deployment.log())
    assert sum(map(int, told)) >= 1000


@pytest.mark.parametrize(
    ("size", "pool"),
    [(1, f"threads -c {POOL}"), (1, "prefork -c 2"), (50, f"threads -c {POOL}")],
    ids=["beside others", "beside others, prefork", "in batches with others"],
)
def test_poison_that_kills_its_process(deployment: Deployment, size: int, pool: str) -> None:
    # given an order of which every process dies that touches it
    deployment.change(max_attempts=2, batch_threshold=10 if size > 1 else 1_000_000, batch_size=size)
    deployment.change(max_backlog=200)  # who was in its attempt is tried alone: so few that a lease is long enough
    deployment.beat()
    with deployment.supervised(app="poison", pool=pool):
        deployment.ready()
        deployment.place()
        deployment.breaks()
        # then it alone is buried, and says why
        deployment.dead = 1
        deployment.finish(within=60)
    [(order_id, letter)] = deployment.expiry.schedule.dead()
    assert order_id == "7"
    assert "the worker process died each time" in letter["reason"]


def test_poison_that_the_database_refuses(deployment: Deployment) -> None:
    # given a trigger of the shop that raises for one order, in batches with others
    deployment.change(max_attempts=3, batch_threshold=10, batch_size=50)
    with deployment.engine.begin() as connection:
        connection.exec_driver_sql(
            """
            CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN RAISE EXCEPTION 'no stock for order %%', new.id; END $$;
            CREATE TRIGGER refuse BEFORE UPDATE ON orders FOR EACH ROW WHEN (new.id = 7) EXECUTE FUNCTION refuse();
            """
        )
    deployment.beat()
    deployment.worker()
    deployment.ready()
    deployment.place()
    deployment.breaks()
    deployment.dead = 1
    deployment.finish()
    [(order_id, letter)] = deployment.expiry.schedule.dead()
    assert order_id == "7"
    assert "no stock for order 7" in letter["reason"]
    assert letter["attempts"] == 3
