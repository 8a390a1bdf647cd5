"""The shop's condition: orders that are pending and due, and must not expire all the same."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from orders.errors import ConfigError, SchemaError
from orders.operate.doctor.about_database import check_kept
from orders.operate.doctor.findings import Patient
from orders.operate.metrics import OrdersCollector
from orders.store.outcomes import Outcome, PaymentVerdict, State
from tasks.worker.watch import report_table
from tests.conftest import Shop
from tests.integration.test_interleavings import STEPS, expire

pytestmark = pytest.mark.every_adapter

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NOT_COVERED = "NOT EXISTS (SELECT 1 FROM gift_cards WHERE gift_cards.order_id = orders.id)"
"""Reads another table, as a shop with gift cards or payments in rows of their own does."""


class Base(DeclarativeBase):
    pass


class Order(Base):
    """The shop's own model of the default table, and more columns."""

    __tablename__ = "orders"
    id: Mapped[str] = mapped_column(primary_key=True)
    paid_at: Mapped[datetime | None]


class GiftCard(Base):
    __tablename__ = "gift_cards"
    id: Mapped[int] = mapped_column(primary_key=True)
    order_id: Mapped[str] = mapped_column(sa.ForeignKey("orders.id"))


def opened(shop: Shop) -> Shop:
    """Create the tables: orders with a column `paid_at`, and gift cards with a foreign key to them."""
    shop.create()
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE orders ADD COLUMN paid_at TIMESTAMP NULL")
        connection.exec_driver_sql(
            "CREATE TABLE gift_cards (id INT PRIMARY KEY, order_id VARCHAR(255) NOT NULL, "
            "FOREIGN KEY (order_id) REFERENCES orders (id))"
        )
    return shop


def by_text(shop: Shop) -> Shop:
    return shop.configured(condition=f"paid_at IS NULL AND {NOT_COVERED}")


def by_table(shop: Shop) -> Shop:
    cards = sa.table("gift_cards", sa.column("order_id"))

    @shop.hooks.condition
    def unpaid(table: sa.TableClause) -> sa.ColumnElement[bool]:
        return table.c.paid_at.is_(None) & ~sa.exists().where(cards.c.order_id == table.c.id)

    return shop


def by_model(shop: Shop) -> Shop:
    @shop.hooks.condition
    def unpaid(table: sa.TableClause) -> sa.ColumnElement[bool]:
        covers = sa.select(GiftCard.id).where(GiftCard.order_id == Order.id)
        return Order.paid_at.is_(None) & ~covers.exists()

    return shop


def by_both(shop: Shop) -> Shop:
    @shop.hooks.condition
    def unpaid(table: sa.TableClause) -> sa.ColumnElement[bool]:
        return table.c.paid_at.is_(None)

    return shop.configured(condition=NOT_COVERED)


def cover(shop: Shop) -> None:
    """A gift card covers order 42. Its foreign key makes the database lock the order's row, as shops' tables do."""
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO gift_cards VALUES (1, '42')")


def uncover(shop: Shop) -> None:
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM gift_cards")


def note_of(shop: Shop, order_id: str) -> dict[str, object]:
    note: dict[str, object] = json.loads(cast("bytes", shop.redis.hget("{orders}:failures", order_id)))
    return note


def let_it_be_due(shop: Shop) -> float:
    """Make order 42 due again at once; return how many seconds it would have waited."""
    score = shop.score("42")
    assert score is not None
    shop.redis.zadd("orders", {"42": 1.0})
    return score - shop.schedule.now()


@pytest.mark.parametrize("given", [by_text, by_table, by_model, by_both], ids=lambda given: given.__name__)
def test_only_orders_for_which_it_holds_expire(shop: Shop, given: Callable[[Shop], Shop]) -> None:
    shop = given(opened(shop))
    shop.place("41", "42", "43")
    shop.place("early", due=60)
    shop.change("43", paid_at=datetime.now(UTC).replace(tzinfo=None))  # a stale save put its status back
    cover(shop)
    assert shop.claim_and_expire("41", "42", "43") == {"expired": 1, "kept": 2}
    assert [shop.status(order_id) for order_id in ("41", "42", "43")] == ["expired", "pending", "pending"]
    assert (shop.kinds("42"), shop.kinds("43")) == ([], [])
    assert shop.expiry.check("42") is State.KEPT
    assert shop.expiry.check("early") is State.PENDING
    # and once it holds, the order expires like any other
    uncover(shop)
    let_it_be_due(shop)
    assert shop.claim_and_expire("42") == {"expired": 1}


@on_sqlite
def test_a_kept_order_is_looked_at_again_with_backoff_and_never_buried(shop: Shop) -> None:
    shop = by_text(opened(shop)).configured(condition=NOT_COVERED, max_attempts=2)
    shop.place("42")
    cover(shop)
    waits = []
    for number in range(1, 10):
        assert shop.claim_and_expire() == {"kept": 1}
        assert note_of(shop, "42")["kept"] == number
        waits.append(round(let_it_be_due(shop)))
    assert waits == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]
    # nothing counts against it
    assert shop.redis.exists("{orders}:attempts", "{orders}:dead") == 0
    stats = shop.schedule.stats()
    assert (stats["kept"], stats.get("retried", 0)) == (9, 0)
    # once it is paid, nothing of it is left
    shop.change("42", status="paid")
    assert shop.claim_and_expire() == {"closed": 1}
    assert shop.redis.exists("orders", "{orders}:failures") == 0


@on_sqlite
def test_explain_lists_metrics_and_doctor_show_it(shop: Shop) -> None:
    shop = by_text(opened(shop))
    shop.place("42")
    cover(shop)
    shop.claim_and_expire()
    explained = shop.expiry.explain("42")
    assert explained.next == "the shop's condition is looked at again, because it has kept the order once"
    assert explained.last_error == "the shop's condition keeps it"
    assert explained.next_at == explained.scheduled
    metrics = {
        metric.name: metric.samples[0].value for metric in OrdersCollector(shop.expiry).collect() if metric.samples
    }
    assert metrics["order_expiry_kept"] == 1
    assert metrics["order_expiry_oldest_overdue_seconds"] == 0
    [finding] = check_kept(Patient(shop.expiry))
    assert finding.found == "the shop's condition keeps 1 order, pending and due"
    shop.redis.flushall()
    assert shop.expiry.explain("42").next == "reconcile schedules it once the shop's condition no longer keeps it"


def test_reconcile_leaves_kept_orders_until_the_condition_holds(shop: Shop) -> None:
    shop = by_text(opened(shop))
    shop.place("41", "42", due=-60, enqueue=False)
    cover(shop)
    assert shop.store.count_pending(overdue=0.0) == 1
    assert shop.expiry.reconcile().added == 1
    assert (shop.score("41") is None, shop.score("42") is None) == (False, True)
    uncover(shop)
    assert shop.expiry.reconcile().added == 1
    assert shop.score("42") is not None


@on_sqlite
def test_a_condition_that_is_null_keeps(shop: Shop) -> None:
    shop = opened(shop).configured(condition="paid_at < CURRENT_TIMESTAMP")
    shop.place("42")
    assert shop.claim_and_expire() == {"kept": 1}
    assert shop.store.count_kept() == 1


@on_sqlite
def test_a_strict_payment_of_a_kept_order_is_accepted_because_it_may_not_expire(shop: Shop) -> None:
    shop = opened(shop).configured(condition=NOT_COVERED, strict=True)
    shop.place("41", "42")
    cover(shop)
    assert shop.expiry.pay("41").verdict is PaymentVerdict.TOO_LATE
    assert shop.expiry.pay("42").verdict is PaymentVerdict.ACCEPTED


@pytest.mark.parametrize("text", ["paid_on IS NULL", "paid_at IS", "EXISTS (SELECT 1 FROM no_table)"])
def test_one_that_the_database_rejects_is_an_error_that_names_it(shop: Shop, text: str) -> None:
    shop = opened(shop).configured(condition=text)
    shop.place("42")
    with pytest.raises(SchemaError) as caught:
        shop.store.check()
    assert f"ORDERS_CONDITION is {text!r}: the database does not accept it as a condition: " in str(caught.value)
    # but no payment fails with it
    shop.place("41", "43")
    assert shop.expiry.pay("41").verdict is PaymentVerdict.ACCEPTED
    assert shop.expiry.hold("43", 60) is True
    assert shop.expiry.cancel("43") is True
    # and until it is corrected, orders wait without an attempt
    with pytest.raises(SchemaError):
        shop.claim_and_expire("42")
    assert shop.status("42") == "pending"
    assert shop.redis.exists("{orders}:attempts", "{orders}:dead") == 0


def test_a_hook_with_an_unknown_column_or_without_an_expression_is_named(shop: Shop) -> None:
    opened(shop)

    @shop.hooks.condition
    def unpaid(table: sa.TableClause) -> sa.ColumnElement[bool]:
        return sa.column("paid_on").is_(None)

    store = shop.open_store()
    with pytest.raises(SchemaError, match=r"@orders.condition is tests.integration.test_condition.*unpaid: the datab"):
        store.check()
    shop.hooks.condition_hook = lambda table: "paid_at IS NULL"
    with pytest.raises(ConfigError, match=r"@orders.condition returned 'paid_at IS NULL': it must be an SQLAlchemy "):
        store.check()


def test_a_hook_that_raises_is_named_and_counts_against_no_order(shop: Shop) -> None:
    shop = opened(shop)
    shop.hooks.condition(lambda table: table.c.paid_on.is_(None))
    shop.place("42")
    with pytest.raises(ConfigError, match=r"@orders.condition is .*<lambda>: it raised AttributeError: paid_on"):
        shop.claim_and_expire("42")
    assert shop.status("42") == "pending"
    assert shop.redis.exists("{orders}:attempts", "{orders}:dead") == 0


@pytest.mark.parametrize("step", STEPS)
def test_a_gift_card_between_two_steps_keeps_the_order_unless_it_expired_before(shop: Shop, step: str) -> None:
    shop = by_text(opened(shop))
    shop.place("42")
    shop.audit()
    expire(shop, cover, step)
    shop.claim_and_expire_all()
    if step in {"after the update", "after all"}:
        assert (shop.status("42"), shop.kinds("42"), shop.score("42")) == ("expired", ["expired"], None)
    else:
        assert (shop.status("42"), shop.kinds("42")) == ("pending", [])
        assert shop.score("42") is not None


def test_an_expiry_that_waits_for_a_payment_sees_what_it_committed_in_another_table(shop: Shop) -> None:
    shop = by_text(opened(shop))
    if shop.engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time: nobody waits with a snapshot")
    shop.place("42")
    found: list[Outcome] = []

    def expire_it() -> None:
        found.append(shop.store.expire(["42"])["42"].outcome)

    # when a gift card is being written, and a worker expires its order at the same time
    with shop.engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO gift_cards VALUES (1, '42')")
        worker = threading.Thread(target=shop.adapter.tidy(expire_it))
        worker.start()
        worker.join(0.5)  # long enough to reach the lock; a worker that does not wait has ended by then
        assert worker.is_alive()
    worker.join(10)
    # then the order is kept
    assert (found, shop.status("42")) == ([Outcome.KEPT], "pending")


@on_sqlite
def test_a_worker_names_at_its_start_what_the_database_rejects(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    shop = opened(shop)
    report_table(shop.store)
    assert caplog.messages == []
    report_table(shop.configured(condition="paid_on IS NULL").store)
    report_table(shop.configured(status_column="state").store)
    first, second = caplog.messages
    assert "no order can expire: " in first
    assert "ORDERS_CONDITION is 'paid_on IS NULL': the database does not accept it as a condition" in first
    assert "ORDERS_STATUS_COLUMN is 'state', but the table 'orders' has no such column" in second
