"""Two deployments that share a schedule by mistake, and a shop whose orders were moved to another database."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis import Redis

from orders import process
from orders.cli import main
from orders.config.settings import Settings
from orders.errors import WrongDatabase
from orders.expiry.use_cases import OrderExpiry
from orders.operate.doctor import Patient, Severity, about_schedule
from orders.store import identity
from orders.store.outbox import Outbox
from orders.store.sql_store import SqlStore
from tests.conftest import Shop


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def expiry_of(shop: Shop, stack: ExitStack, **changes: object) -> OrderExpiry:
    """Return what another process of the shop has, with other settings."""
    expiry = OrderExpiry.connect(shop.settings.model_copy(update=changes))
    stack.callback(expiry.close)
    return expiry


def another(shop: Shop, stack: ExitStack, tmp_path: Path) -> OrderExpiry:
    """Return what a process has of another deployment, with the same Redis and ORDERS_KEY."""
    settings = Settings(redis_url=shop.settings.redis_url, database_url=f"sqlite:///{tmp_path}/other.db")
    store = SqlStore(settings)
    store.create_table("integer")
    store.create_outbox()
    store.close()
    expiry = OrderExpiry.connect(settings)
    stack.callback(expiry.close)
    return expiry


def adopt() -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["adopt"])


def test_the_first_database_owns_the_schedule(shop: Shop, stack: ExitStack, tmp_path: Path) -> None:
    shop.create("integer")
    shop.place(1, 2, due=-100)
    other = another(shop, stack, tmp_path)
    # given a worker of the shop
    shop.expiry.ownership.check()
    # then those of another database refuse whatever would bury or claim its ids, and name both
    claim = shop.schedule.claim(1)
    for refused in (
        other.ownership.check,
        other.reconcile,
        lambda: other.expire([each.order_id for each in claim.claimed], claim.lease),
    ):
        with pytest.raises(WrongDatabase) as caught:
            refused()
    told = str(caught.value)
    assert told.startswith("ORDERS_KEY is 'orders', the schedule of the table orders of ")
    assert str(shop.expiry.ownership.mine) in told
    assert f"in the table orders of a sqlite database, id {str(other.ownership.mine)[-32:]}: each deployment" in told
    assert "run `orders adopt`" in told
    assert shop.schedule.stats()["dead"] == 0
    [found] = about_schedule.CHECKS["schedule.owner"](Patient(other))
    assert found.severity is Severity.ERROR
    # and other processes of the shop do not
    expiry_of(shop, stack).ownership.check()
    expiry_of(shop, stack, events_interval=3.0).ownership.check()
    [found] = about_schedule.CHECKS["schedule.owner"](Patient(shop.expiry))
    assert found.severity is Severity.OK


def test_a_database_that_was_moved_takes_over(
    shop: Shop, stack: ExitStack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.create("integer")
    shop.expiry.ownership.check()
    moved = another(shop, stack, tmp_path)
    with process.using(moved):
        adopt()
        assert capsys.readouterr().out == (
            f"the schedule belongs to the {moved.ownership.mine}; before, to the {shop.expiry.ownership.mine}\n"
        )
        adopt()  # once more does no harm
        assert capsys.readouterr().out == f"the schedule belongs to the {moved.ownership.mine}\n"
    moved.ownership.check()
    with pytest.raises(WrongDatabase):  # by the next sweep of a process that still has the old one
        shop.expiry.ownership.check()


def test_the_identity_moves_with_the_data(shop: Shop, stack: ExitStack) -> None:
    # given an identity, which is no event
    shop.create("integer")
    mine = shop.store.identity()
    assert shop.store.identity() == mine
    shop.place(1, due=100)
    shop.expiry.pay(1)
    shop.hooks.on_event(lambda event: None)
    # when events are delivered and pruned
    assert shop.expiry.deliver() == {"delivered": 1}
    assert shop.configured(events_retention=1e-6).expiry.prune() == 1
    # then it is still there, whatever connection asks
    assert expiry_of(shop, stack).store.identity() == mine
    with shop.engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM order_events")) == 1


def test_two_processes_give_a_database_an_identity_at_the_same_time(shop: Shop) -> None:
    shop.create("integer")
    mine = shop.store.identity()
    with shop.engine.begin() as connection:
        connection.execute(
            sa.text(
                "INSERT INTO order_events (order_id, kind, data, at, try_at, refusals, delivered_at) VALUES "
                "('', 'identity', '{\"id\": \"second\"}', '9000-01-01', '9000-01-01', 0, '9000-01-01')"
            )
        )
    assert shop.store.identity() == mine


def test_without_a_table_of_events_nobody_is_refused(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create("integer", events=False)
    shop.expiry.ownership.check()
    assert shop.schedule.owners() == []
    # nor is the database asked at each attempt
    asked = []
    monkeypatch.setattr(shop.store, "identity", lambda: asked.append(1))
    shop.expiry.ownership.check_once()
    assert asked == []
    [found] = about_schedule.CHECKS["schedule.owner"](Patient(shop.expiry))
    assert found.severity is Severity.UNKNOWN


def test_a_database_that_is_down_refuses_nobody(shop: Shop, stack: ExitStack, redis: Redis) -> None:
    shop.create("integer")
    shop.expiry.ownership.check()
    url = "postgresql+psycopg://shop:shop@127.0.0.1:1/shop"
    expiry_of(shop, stack, database_url=url).ownership.check()
    # nor does what earlier releases read fail on the note
    assert all(float(value) > 0 for value in redis.hgetall("{orders}:stats").values())
    assert json.dumps(shop.schedule.stats()).count("owner") == 0


@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_processes_that_start_together_agree_on_the_identity(shop: Shop) -> None:
    # given a process that writes the identity, and has not committed it
    shop.create()
    store, events = shop.open_store(), Outbox(shop.settings, shop.engine.dialect.name, None).table
    found: list[str | None] = []
    with shop.engine.begin() as connection:
        identity.write(connection, events)
        # when another one asks for it, long enough to have written its own if it does not wait
        other = threading.Thread(target=shop.adapter.tidy(lambda: found.append(store.identity())))
        other.start()
        other.join(0.5)
    other.join(10)
    # then both have the same
    assert found == [shop.open_store().identity()]
