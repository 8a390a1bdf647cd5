"""More time for many orders at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import pytest
import sqlalchemy as sa

from orders.errors import InvalidDeadline, ScheduleUnavailable
from orders.expiry.extend import Extended, extend_orders
from orders.store.engine import MYSQL
from orders.store.transactions import SqlTransactions
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

MINUTES = timedelta(minutes=1)


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def deadlines(shop: Shop, *order_ids: str) -> list[datetime | None]:
    rows = [shop.store.row(order_id) for order_id in order_ids]
    return [row.deadline if row else None for row in rows]


def test_every_pending_order_that_is_due_before_gets_the_deadline(shop: Shop) -> None:
    shop.create()
    shop.place("overdue", due=-30)
    shop.place("soon", due=60)
    shop.place("late", due=3600)
    shop.place("paid", due=60, status="paid", enqueue=False)
    [late, paid] = deadlines(shop, "late", "paid")
    until = now() + 30 * MINUTES
    assert extend_orders(shop.expiry, due_before=now() + 10 * MINUTES, until=until) == 2
    assert deadlines(shop, "overdue", "soon", "late", "paid") == [until, until, late, paid]
    assert shop.score("overdue") == shop.score("soon") == until.timestamp()
    [event] = shop.events("soon")
    assert (event.kind, event.data) == ("extended", {"deadline": until.isoformat(), "by": "extend_many"})
    # and again, nothing is left to do
    assert extend_orders(shop.expiry, due_before=now() + 10 * MINUTES, until=until) == 0
    assert len(shop.events("soon")) == 1


def test_by_adds_to_each_deadline_or_to_now(shop: Shop) -> None:
    shop.create()
    shop.place("overdue", due=-3600)
    shop.place("soon", due=60)
    [soon] = deadlines(shop, "soon")
    assert soon
    assert extend_orders(shop.expiry, due_before=now() + 100 * MINUTES, by=30 * 60) == 2
    assert deadlines(shop, "overdue", "soon") == [shop.clock.now() + 30 * MINUTES, soon + 30 * MINUTES]


def test_a_deadline_never_becomes_earlier(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=600)
    before = deadlines(shop, "42")
    assert extend_orders(shop.expiry, due_before=now() + 20 * MINUTES, until=now() + 5 * MINUTES) == 0
    assert deadlines(shop, "42") == before


def test_many_pages_meet_each_order_once_and_go_on_where_they_stopped(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given orders of which several have the same deadline
    monkeypatch.setattr("orders.expiry.extend.PAGE", 4)
    shop.create()
    for number in range(5):
        shop.place(*(f"{number}.{each}" for each in range(3)), due=60.0 + number)
    reached: list[datetime] = []

    def stop(so_far: Extended) -> None:
        reached.append(so_far.due_before)
        if len(reached) == 2:
            raise KeyboardInterrupt

    # when a run is interrupted, and another one continues there
    with pytest.raises(KeyboardInterrupt):
        extend_orders(shop.expiry, due_before=now() + 10 * MINUTES, by=5, progress=stop)
    assert extend_orders(shop.expiry, due_before=reached[-1], by=5) == 7
    # then each was extended once
    kinds = [shop.kinds(f"{number}.{each}") for number in range(5) for each in range(3)]
    assert kinds == [["extended"]] * 15


@pytest.mark.sqlalchemy_only
@pytest.mark.parametrize("database_url", ["postgresql", "mariadb"], indirect=True)
def test_a_page_is_one_update_and_one_insert_however_many_orders_it_has(shop: Shop) -> None:
    shop.create()
    shop.place(*map(str, range(50)), due=60)
    sent: list[tuple[str, int]] = []
    shop.store.check()
    engine = cast("SqlTransactions", shop.store.transactions).engine

    @sa.event.listens_for(engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, parameters: Any, ___: Any, is_many: bool) -> None:
        sent.append((statement.split(maxsplit=1)[0], len(parameters) if is_many else 1))

    assert extend_orders(shop.expiry, due_before=now() + 10 * MINUTES, by=60) == 50
    # PyMySQL makes one statement of all these rows
    inserted = 50 if engine.dialect.name in MYSQL else 1
    assert [each for each in sent if each[0] != "SELECT"] == [("UPDATE", 1), ("INSERT", inserted)]


def test_what_a_worker_holds_is_fenced(shop: Shop) -> None:
    shop.create()
    shop.place("41", "42")
    claim = shop.schedule.claim(10)
    assert extend_orders(shop.expiry, due_before=now() + MINUTES, by=600) == 2
    assert shop.expiry.expire(["41", "42"], claim.lease) == {"stale": 2}
    assert shop.claim_and_expire_all() == 0


@on_sqlite
def test_if_redis_fails_the_rows_decide(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    shop.place("42")

    def fail(_: Any) -> int:
        raise ScheduleUnavailable("down")

    with monkeypatch.context() as patched:
        patched.setattr(shop.schedule, "enqueue", fail)
        with pytest.raises(ScheduleUnavailable):
            extend_orders(shop.expiry, due_before=now() + MINUTES, by=600)
    assert shop.claim_and_expire() == {"not_due": 1}


@on_sqlite
@pytest.mark.parametrize(
    "given",
    [
        {},
        {"until": now() + MINUTES, "by": 60},
        {"by": 0},
        {"by": -1},
        {"by": float("nan")},
        {"until": datetime(2030, 1, 1)},  # noqa: DTZ001 - naive
        {"until": "soon"},
    ],
)
def test_it_takes_one_valid_time(shop: Shop, given: dict[str, Any]) -> None:
    shop.create()
    shop.place("42")
    with pytest.raises(InvalidDeadline):
        extend_orders(shop.expiry, due_before=now() + 10 * MINUTES, **given)
    assert shop.kinds("42") == []
