"""Many threads and processes pay, extend, cancel, check and expire the same orders at their deadlines."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import sqlalchemy as sa

from orders.config.settings import Settings
from orders.embedded import EmbeddedRedis
from tests.conftest import Shop
from tests.integration.racing import READY, race, releasing

ORDERS, PRODUCTS, PROCESSES, SECONDS, UNITS = 300, 5, 3, 6.0, 10_000

TABLES = (
    "CREATE TABLE stock (product INT PRIMARY KEY, units INT NOT NULL)",
    "CREATE TABLE items (order_id INT NOT NULL, product INT NOT NULL, units INT NOT NULL)",
    "CREATE TABLE seen (event_id INT, order_id VARCHAR(20), kind VARCHAR(20))",
)


@pytest.fixture
def settings(redis_server: EmbeddedRedis, database_url: str) -> Settings:
    fast: dict[str, Any] = {"sweep_interval": 0.5, "lease": 2, "remind": (1, 60)}
    return Settings(redis_url=redis_server.url, database_url=database_url, **fast)


def open_shop(shop: Shop) -> None:
    """Sell everything that the orders hold: stock is what is left, orders fall due over the next seconds."""
    chance = random.Random(42)
    shop.create("integer")
    shop.audit()
    items = [(order, chance.randint(1, PRODUCTS), chance.randint(1, 3)) for order in range(1, ORDERS + 1)]
    with shop.engine.begin() as connection:
        for table in TABLES:
            connection.exec_driver_sql(table)
        sold: Counter[int] = Counter()
        for _, product, units in items:
            sold[product] += units
        connection.execute(
            sa.text("INSERT INTO stock VALUES (:product, :units)"),
            [{"product": product, "units": UNITS - sold[product]} for product in range(1, PRODUCTS + 1)],
        )
        connection.execute(
            sa.text("INSERT INTO items VALUES (:order, :product, :units)"),
            [{"order": order, "product": product, "units": units} for order, product, units in items],
        )
    for order in range(1, ORDERS + 1):
        shop.place(order, due=1 + 4 * order / ORDERS, enqueue=False)
    # Their longest reminder should have come long ago, so that workers look at all of them at once.
    shop.schedule.enqueue((str(order), 0.0) for order in range(1, ORDERS + 1))


def finish(shop: Shop) -> None:
    """Let every lease and deadline pass, and deliver what is left."""
    give_up = time.monotonic() + 60
    shop.expiry._sleep = time.sleep
    while shop.redis.zcard("orders") or shop.store.count_pending(overdue=None):
        assert time.monotonic() < give_up, "orders were left"
        shop.claim_and_expire_all()
        shop.expiry.reconcile(everything=True)
        time.sleep(0.05)  # deadlines and leases end by the clocks of the servers
    shop.hooks.on_event(lambda event: see(shop, event.id, event.order_id, event.kind.value))
    while shop.expiry.deliver()["delivered"] or undelivered(shop):
        assert time.monotonic() < give_up, "events were left"
        time.sleep(0.05)


def see(shop: Shop, event_id: int, order_id: str, kind: str) -> None:
    with shop.engine.begin() as connection:
        seen = {"event_id": event_id, "order_id": order_id, "kind": kind}
        connection.execute(sa.text("INSERT INTO seen VALUES (:event_id, :order_id, :kind)"), seen)


def undelivered(shop: Shop) -> int:
    return len(rows(shop, "SELECT id FROM order_events WHERE delivered_at IS NULL"))


def rows(shop: Shop, select: str) -> list[Any]:
    with shop.engine.begin() as connection:
        return list(connection.execute(sa.text(select)))


class Told(NamedTuple):
    """A payment, and what who paid was told; see `racing.Account`."""

    order: int
    reference: str
    verdict: str
    refund_key: str | None


def run_rivals(shop: Shop, settings: Settings, folder: Path) -> list[dict[str, Any]]:
    """Start processes, open the shop once all are ready, and return the account that each gives in the end."""
    accounts = [folder / f"{number}.json" for number in range(PROCESSES)]
    given = settings.model_dump(include=settings.model_fields_set)
    spawn = multiprocessing.get_context("spawn")
    begins = spawn.Barrier(PROCESSES + 1)
    processes = [
        spawn.Process(target=race, args=(given, ORDERS, SECONDS, begins, seed, str(account), shop.adapter.name))
        for seed, account in enumerate(accounts)
    ]
    for process in processes:
        process.start()
    begins.wait(READY)
    open_shop(shop)
    begins.wait(READY)
    for process in processes:
        process.join(SECONDS + 60)
        assert process.exitcode == 0
    return [json.loads(account.read_text()) for account in accounts]


def each_order_changed_once(shop: Shop) -> None:
    changes = Counter(str(order) for (order,) in rows(shop, "SELECT order_id FROM audit"))
    assert len(changes) == ORDERS
    assert set(changes.values()) == {1}


def left_and_sold(shop: Shop) -> tuple[int, int]:
    """Return the units in stock, and those of paid orders."""
    [(left,)] = rows(shop, "SELECT sum(units) FROM stock")
    [(sold,)] = rows(
        shop, "SELECT coalesce(sum(items.units), 0) FROM items JOIN orders ON id = order_id WHERE status = 'paid'"
    )
    return int(left), int(sold)


def verdicts_agree_with_states(payments: list[Told], states: dict[int, str]) -> None:
    expected = {"accepted": "paid", "duplicate": "paid", "too_late": "expired", "closed": "cancelled"}
    for payment in payments:
        assert payment.verdict != "not_found"
        assert states[payment.order] == expected[payment.verdict]


def each_paid_order_took_one_payment(payments: list[Told], states: dict[int, str]) -> None:
    accepted = Counter(payment.order for payment in payments if payment.verdict == "accepted")
    assert dict(accepted) == {order: 1 for order, state in states.items() if state == "paid"}


def the_others_have_one_refund_key_each(payments: list[Told]) -> int:
    """Check that a payment was either taken or has one refund key, whoever asked; return how many have one."""
    keys: dict[tuple[int, str], set[str]] = defaultdict(set)
    for payment in payments:
        if payment.refund_key:
            keys[payment.order, payment.reference].add(payment.refund_key)
    assert all(len(found) == 1 for found in keys.values())
    taken = {(payment.order, payment.reference) for payment in payments if payment.verdict == "accepted"}
    assert {(payment.order, payment.reference) for payment in payments} == taken | set(keys)
    assert not taken & set(keys)
    return len(keys)


def each_final_state_was_seen(seen: list[Any], states: dict[int, str]) -> None:
    finals: dict[object, set[object]] = defaultdict(set)
    for _, order, kind in seen:
        if kind in {"expired", "paid"}:
            finals[order].add(kind)
    assert {str(order): state for order, state in states.items() if state != "cancelled"} == {
        str(order): str(*kinds) for order, kinds in finals.items()
    }


def each_reminder_came_once_and_before_the_end(shop: Shop) -> int:
    """Check that there is one reminder for each order, deadline and time, while it was pending; return how many."""
    found, ended = Counter[tuple[str, str, int]](), set[str]()
    for order, kind, given in rows(shop, "SELECT order_id, kind, data FROM order_events ORDER BY id"):
        if kind in {"expired", "paid"}:
            ended.add(order)
        elif kind == "reminder":
            data = given if isinstance(given, dict) else json.loads(given)
            found[order, data["deadline"], data["before"]] += 1
            assert order not in ended
    assert set(found.values()) <= {1}  # none, if a busy machine opens the shop too slowly
    return len(found)


@pytest.mark.every_adapter
def test_every_order_ends_once_and_the_books_balance(
    shop: Shop, settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    # given a shop that opens, and processes that do to the same orders what they can
    shop.hooks.on_expire(releasing(shop.adapter))
    told = run_rivals(shop, settings, tmp_path)
    finish(shop)
    payments = [Told(*payment) for account in told for payment in account["payments"]]
    # then every order has one final state, which it reached once
    states = {order: str(status) for order, status in rows(shop, "SELECT id, status FROM orders")}
    assert set(states.values()) == {"paid", "expired", "cancelled"}
    each_order_changed_once(shop)
    left, sold = left_and_sold(shop)
    assert left + sold == PRODUCTS * UNITS  # stock is conserved to the unit
    # every accepted payment stands, each paid order has one, and the others are to be refunded
    verdicts_agree_with_states(payments, states)
    each_paid_order_took_one_payment(payments, states)
    refunds = the_others_have_one_refund_key_each(payments)
    # every event was delivered, and nobody saw an order in two final states
    events: dict[int, str] = dict(rows(shop, "SELECT id, kind FROM order_events WHERE kind <> 'identity'"))
    seen = rows(shop, "SELECT event_id, order_id, kind FROM seen")
    assert {event_id for event_id, *_ in seen} == set(events)
    each_final_state_was_seen(seen, states)
    assert list(events.values()).count("late_payment") == refunds
    # and nothing is left behind
    assert shop.redis.exists("orders", "{orders}:attempts", "{orders}:failures", "{orders}:dead") == 0
    verdicts = Counter(payment.verdict for payment in payments)
    details = {
        "database": f"{shop.engine.dialect.name}/{shop.adapter.name}",
        "orders": ORDERS,
        "races": sum(sum(account["acts"].values()) for account in told),
        "accepted": verdicts["accepted"],
        "too late": verdicts["too_late"],
        "stock before": PRODUCTS * UNITS,
        "stock after, and sold": f"{left} + {sold}",
        "reminders": each_reminder_came_once_and_before_the_end(shop),
        "events delivered": len(events),
        "duplicates": len(seen) - len(events),
    }
    request.node.user_properties.append(("race", details))
