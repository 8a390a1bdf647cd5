"""Reconciling and explaining, on a real Redis and real databases."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa

import orders
from orders.errors import ExpiryFailed, StoreError
from orders.expiry import reconcile as reconciling
from orders.expiry.explain import Explanation
from orders.expiry.reconcile import RESUME, Reconciled
from orders.store.orders_table import IdType
from tests.conftest import Shop


def test_overdue_orders_that_the_schedule_lacks_are_scheduled(shop: Shop) -> None:
    shop.create("integer")
    shop.place(1, 2, due=-60, enqueue=False)  # its process died between the commit and enqueue
    shop.place(3, due=-60)  # scheduled
    shop.place(4, due=60, enqueue=False)  # not overdue
    shop.place(5, due=-60, status="paid", enqueue=False)
    shop.place(6, due=-1, enqueue=False)  # a worker may be at it right now
    assert shop.store.count_pending(overdue=10) == 3
    assert shop.store.count_pending(overdue=None) == 5
    assert shop.expiry.reconcile() == Reconciled(seen=3, added=2, complete=True)
    assert set(shop.redis.zrange("orders", 0, -1)) == {b"1", b"2", b"3"}
    assert shop.schedule.stats()["reconciled"] == 2
    assert shop.claim_and_expire() == {"expired": 3}
    assert shop.expiry.reconcile() == Reconciled(seen=0, added=0, complete=True)


def test_everything_pending_is_scheduled_after_redis_lost_its_data(shop: Shop) -> None:
    shop.create("integer")
    shop.place(1, 2, due=60)
    shop.place(3, due=-60)
    scores = shop.schedule_as_dict()
    shop.redis.flushall()
    assert shop.expiry.reconcile(everything=True) == Reconciled(seen=3, added=3, complete=True)
    restored = shop.schedule_as_dict()
    assert restored == pytest.approx(scores, abs=1e-5)


def test_a_dry_run_only_counts(shop: Shop) -> None:
    shop.create("integer")
    shop.place(1, 2, due=-60, enqueue=False)
    assert shop.expiry.reconcile(dry_run=True) == Reconciled(seen=2, added=2, complete=True)
    assert shop.redis.exists("orders") == 0
    assert shop.schedule.noted(RESUME) is None


def test_what_is_buried_stays_buried(shop: Shop) -> None:
    shop.create("integer")
    shop.place(1, due=-60, enqueue=False)
    shop.redis.hset("{orders}:dead", "1", "{}")
    assert shop.expiry.reconcile() == Reconciled(seen=1, added=0, complete=True)
    assert shop.expiry.reconcile(dry_run=True) == Reconciled(seen=1, added=0, complete=True)


def test_a_lease_is_not_disturbed(shop: Shop) -> None:
    shop.create("integer")
    shop.place(1, due=-60)
    claim = shop.schedule.claim(1)
    assert shop.expiry.reconcile().added == 0
    assert shop.score("1") == claim.lease


@pytest.mark.parametrize("everything", [False, True])
def test_a_deadline_that_was_moved_forward_in_the_row_alone_is_noticed(shop: Shop, *, everything: bool) -> None:
    # given a row whose deadline somebody has moved forward, past a lease, a retry and a fraction of a second
    shop.create("integer")
    shop.place(1, 2, 3, 4, due=-60, enqueue=False)
    now = shop.schedule.now()
    shop.schedule.enqueue([("2", now - 60)])
    lease = shop.schedule.claim(1).lease
    shop.schedule.enqueue([("1", now + 600), ("3", now + 300), ("4", now - 59.5)])
    shop.redis.hset("{orders}:failures", "3", "{}")
    before = shop.schedule_as_dict()
    # when it is reconciled
    found = Reconciled(seen=4, added=0, complete=True, advanced=1)
    assert shop.expiry.reconcile(everything=everything, dry_run=True) == found
    assert shop.schedule_as_dict() == before
    assert shop.expiry.reconcile(everything=everything) == found
    # then it is due, and nothing else has changed
    assert shop.schedule_as_dict() == {**before, "1": pytest.approx(now - 60, abs=5)}
    assert shop.score("2") == lease
    assert shop.expiry.reconcile(everything=everything).advanced == 0


@pytest.mark.parametrize("id_type", ["text", "integer"])
def test_pages_meet_without_gap_or_overlap(shop: Shop, id_type: IdType, monkeypatch: pytest.MonkeyPatch) -> None:
    # given many rows of which many share a deadline
    monkeypatch.setattr(reconciling, "PAGE", 7)
    shop.create(id_type)
    names: list[object] = [number if id_type == "integer" else f"x{number}" for number in range(1, 61)]
    for first in range(0, 60, 20):
        shop.place(*names[first : first + 20], due=-100 - first, enqueue=False)
    pages: list[Reconciled] = []
    # when they are walked in small pages
    found = shop.expiry.reconcile(progress=pages.append)
    # then each is seen once
    assert found == Reconciled(seen=60, added=60, complete=True)
    assert [page.seen for page in pages] == [7, 14, 21, 28, 35, 42, 49, 56, 60]


def test_a_run_whose_time_is_up_is_gone_on_with(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconciling, "PAGE", 10)
    shop.create("integer")
    for number in range(1, 26):
        shop.place(number, due=-100 + number, enqueue=False)
    first = shop.expiry.reconcile(is_over=lambda: True)
    assert first == Reconciled(seen=10, added=10, complete=False)
    assert shop.schedule.noted(RESUME) is not None
    second = shop.expiry.reconcile()
    assert second.complete
    assert 15 <= second.seen <= 16  # the row at which it stopped may be seen again
    assert shop.redis.zcard("orders") == 25
    assert shop.schedule.noted(RESUME) is None


def test_reconciling_uses_the_index(shop: Shop) -> None:
    # given many orders of which few are pending
    shop.create("integer")
    shop.place(*range(1, 3001), due=-60, status="paid", enqueue=False)
    shop.place(*range(3001, 3031), due=-60, enqueue=False)
    dialect = shop.engine.dialect.name
    with shop.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text({"mysql": "ANALYZE TABLE orders"}.get(dialect, "ANALYZE")))
    # when two pages are read
    statements: list[tuple[str, Any]] = []
    engine = shop.store.transactions.engine  # type: ignore[attr-defined]
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append((args[2], args[3])))
    first = shop.store.pending(overdue=10, after=None, limit=3)
    shop.store.pending(overdue=10, after=first[-1], limit=3)
    # then the database reads them off the index, in order
    selects = [(text, parameters) for text, parameters in statements if "SELECT orders.id" in text]
    assert len(selects) == 2
    for text, parameters in selects:
        explain = "EXPLAIN QUERY PLAN " if dialect == "sqlite" else "EXPLAIN "
        with shop.engine.begin() as connection:
            plan = str(connection.exec_driver_sql(explain + text, parameters).all())
        assert "orders_overdue" in plan
        assert not any(sign in plan for sign in ("Sort", "filesort", "TEMP B-TREE"))


def explained(shop: Shop, order_id: str = "42") -> Explanation:
    return shop.expiry.explain(order_id)


def test_explain_an_order_through_its_life(shop: Shop) -> None:
    shop.create()
    assert explained(shop).next == "nothing: it is not scheduled"
    assert explained(shop).state is None

    shop.place("42", due=3600)
    known = explained(shop)
    assert (known.state, known.attempts, known.leased_until) == ("pending", 0, None)
    assert known.deadline == known.scheduled == known.next_at
    assert known.next == "a sweep claims it, and a worker expires it"

    shop.change("42", expires_at=datetime(2020, 1, 1, tzinfo=UTC))
    shop.redis.zadd("orders", {"42": 1.0})
    claim = shop.schedule.claim(1)
    known = explained(shop)
    assert known.leased_until == datetime.fromtimestamp(claim.lease, UTC)
    assert known.next.startswith("a worker has it, or will get it soon")

    shop.expiry.expire(["42"], claim.lease)
    known = explained(shop)
    assert (known.state, known.scheduled, known.next) == ("expired", None, "nothing: it is not scheduled")


def test_explain_an_order_that_fails(shop: Shop) -> None:
    shop.create()
    shop.redis.zadd("orders", {"42": 1.0})
    assert explained(shop).next == "a worker finds no row, and tries again later"
    shop.claim_and_expire()
    known = explained(shop)
    assert (known.attempts, known.last_error, known.leased_until) == (1, "the table has no such row", None)
    assert known.next == "attempt 2 of 10"
    assert known.next_at == known.scheduled
    assert known.failed_at

    shop.place("42", enqueue=False)
    shop.redis.hset("{orders}:attempts", "42", 10)  # processes died
    shop.redis.zadd("orders", {"42": 1.0})
    with pytest.raises(ExpiryFailed):
        shop.claim_and_expire()
    known = explained(shop)
    assert known.dead_letter
    assert known.dead_letter["attempts"] == 11
    assert known.next.startswith("nothing: it is a dead letter")
    json.dumps(known.as_json())


def test_explain_what_reconciling_will_find_and_what_is_paid(shop: Shop) -> None:
    shop.create()
    shop.place("42", due=-60, enqueue=False)
    shop.place("paid", status="paid")
    assert explained(shop).next == "reconcile schedules it, because it is pending but not scheduled"
    assert explained(shop, "paid").next == "a worker finds that it is paid, and removes it from the schedule"


def test_explain_an_id_that_cannot_be(shop: Shop) -> None:
    shop.create("integer")
    shop.redis.zadd("orders", {"abc": "inf"})
    known = explained(shop, "abc")
    assert known.next.startswith("the order id 'abc' is not a number")
    assert known.scheduled is None  # no date can say when


def test_explain_is_public(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.create()
    monkeypatch.setattr("orders.process._current", shop.expiry)
    assert orders.explain(42).state is None
    shop.store.close()
    monkeypatch.setattr(shop.store, "row", lambda _: (_ for _ in ()).throw(StoreError("down")))
    with pytest.raises(StoreError):
        orders.explain(42)
