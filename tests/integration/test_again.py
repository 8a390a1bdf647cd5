"""An order that expires a second time, because somebody made it pending again."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from orders.ids import OrderId
from orders.store.orders_table import IdType
from tests.conftest import Shop

pytestmark = pytest.mark.every_adapter


def reopen(shop: Shop, order_id: object) -> None:
    """Make an order pending again, as a stale ``save()`` does."""
    shop.change(order_id, status="pending")
    shop.schedule.enqueue([(str(order_id), shop.schedule.now() - 1)])


class Stock:
    """The hook of a shop that gives stock back once for each order."""

    def __init__(self) -> None:
        self.calls: list[tuple[list[Any], set[Any]]] = []

    def __call__(self, given: Any, order_ids: Sequence[Any], *, again: frozenset[Any] = frozenset()) -> None:
        self.calls.append((list(order_ids), set(again)))


def test_the_hook_learns_which_orders_have_expired_before(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    # given a hook that wants to know, and one that does not
    stock, plain = Stock(), list[object]()
    shop.hooks.on_expire(stock)
    shop.hooks.on_expire(lambda given, order_ids: plain.extend(order_ids))
    shop.create("integer")
    shop.place(1, 2)
    assert shop.claim_and_expire() == {"expired": 2}
    assert stock.calls == [([1, 2], set())]
    # when one of them is pending again, and expires together with another
    reopen(shop, 2)
    shop.place(3)
    assert not caplog.records
    assert shop.claim_and_expire() == {"expired": 2}
    # then it is told from the other: to the hook, in its event, in the log, and by explain
    assert stock.calls[1:] == [([2, 3], {2})]
    assert plain == [1, 2, 2, 3]
    assert [dict(event.data) for event in shop.events("2")] == [{}, {"again": True}]
    assert [dict(event.data) for event in shop.events("3")] == [{}]
    [line] = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.getMessage().startswith("expired again: 2. Somebody made these orders pending")
    assert vars(line)["order_ids"] == ["2"]
    warning = "it has expired 2 times: somebody made it pending again in between"
    assert shop.expiry.explain(2).warning == warning
    assert shop.expiry.explain(3).warning is None


@pytest.mark.parametrize(("id_type", "order_id"), [("text", "a "), ("uuid", UUID(int=42))])
def test_the_set_has_ids_as_the_list_does(shop: Shop, id_type: IdType, order_id: OrderId) -> None:
    stock = Stock()
    shop.hooks.on_expire(stock)
    shop.create(id_type)
    stored = shop.stored(order_id)
    shop.place(stored, enqueue=False)
    shop.store.expire([str(order_id)])
    shop.change(stored, status="pending")
    shop.store.expire([str(order_id)])
    [_, (order_ids, again)] = stock.calls
    assert set(order_ids) == again


def test_what_is_rolled_back_was_no_expiry(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    def fail(given: Any, order_ids: Sequence[Any]) -> None:
        raise RuntimeError("no stock")

    shop.hooks.on_expire(fail)
    shop.create()
    shop.place("42")
    with pytest.raises(RuntimeError):
        shop.store.expire(["42"])
    shop.hooks.expire_hooks[:] = [stock := Stock()]
    shop.store.expire(["42"])
    assert stock.calls == [(["42"], set())]
    assert not caplog.records


def test_without_a_table_of_events_nothing_is_known(shop: Shop) -> None:
    stock = Stock()
    shop.hooks.on_expire(stock)
    shop.create(events=False)
    shop.place("42")
    for _ in range(2):
        shop.store.expire(["42"])
        shop.change("42", status="pending")
    assert stock.calls == [(["42"], set())] * 2
    assert shop.expiry.explain("42").warning is None


def test_a_payment_that_expires_its_order_knows_too(shop: Shop) -> None:
    # (with ORDERS_STRICT, a payment after the deadline does)
    stock = Stock()
    shop.hooks.on_expire(stock)
    shop.create()
    shop.place("42")
    strict = shop.configured(strict=True)
    strict.store.expire(["42"])
    shop.change("42", status="pending", expires_at=datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1))
    strict.expiry.pay("42", reference="ch_1")
    assert stock.calls == [(["42"], set()), (["42"], {"42"})]


def test_a_batch_costs_as_few_statements_as_the_database_allows(shop: Shop) -> None:
    shop.create("integer")
    shop.place(*range(1, 1001), enqueue=False)
    shop.store.check()
    statements: list[str] = []
    engine = getattr(shop.store.transactions, "engine", None)
    if engine is None:
        pytest.skip("Django's connections have no such event")
    sa.event.listen(engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    shop.store.expire([str(number) for number in range(1, 1001)])
    asking = [text for text in statements if "order_events.kind IN" in text]
    writing = [text for text in statements if "INSERT INTO order_events" in text]
    assert (len(asking), len(writing)) == (1, 1)
    assert (asking == writing) == (engine.dialect.name == "postgresql")


def test_a_table_of_events_without_statistics_is_not_read_as_a_whole(shop: Shop) -> None:
    # PostgreSQL only: the others look each order up in the index
    shop.create("integer")
    engine = getattr(shop.store.transactions, "engine", None)
    if engine is None or engine.dialect.name != "postgresql":
        pytest.skip("needs PostgreSQL, and SQLAlchemy's engine")
    shop.place(*range(1, 101), enqueue=False)
    plans: list[str] = []

    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "WITH before" in statement:
            plan = cursor.connection.execute(f"EXPLAIN {statement}", parameters).fetchall()
            plans.append("\n".join(line for (line,) in plan))

    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE order_events SET (autovacuum_enabled = off)"))
        many = "INSERT INTO order_events (order_id, kind, data, at, try_at) SELECT i, 'extended', '{}', now(), now() "
        connection.execute(sa.text(many + "FROM generate_series(1000, 50000) AS i"))
    sa.event.listen(engine, "before_cursor_execute", explain)
    shop.store.expire([str(number) for number in range(1, 101)])
    [plan] = plans
    assert "Seq Scan on order_events" not in plan
    assert "order_events_of_order" in plan
