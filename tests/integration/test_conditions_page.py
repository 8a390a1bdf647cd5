"""The page about the shop's condition: its recipes decide what they say, on real databases, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import orders
from orders import process
from orders.events import EventKind
from tests.blocks import blocks
from tests.conftest import Shop

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "conditions.md").read_text()

on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

PAID_IN_PART = "INSERT INTO payments VALUES ('42', 4)"
PAID_IN_FULL = "INSERT INTO payments VALUES ('42', 9)"

KEEPS_42 = {
    "`paid_at` is set": "UPDATE orders SET paid_at = CURRENT_TIMESTAMP WHERE id = '42'",
    "a row of payments": PAID_IN_PART,
    "it is partly paid, and should be kept": PAID_IN_PART,
    "it is partly paid, and should expire unless": f"{PAID_IN_FULL}; INSERT INTO payments VALUES ('41', 4)",
    "it awaits an approval": "UPDATE orders SET approved_at = CURRENT_TIMESTAMP WHERE id = '41'",
    "it is deleted softly": "UPDATE orders SET deleted_at = CURRENT_TIMESTAMP WHERE id = '42'",
}
"""What the shop knows, as the rows of the recipes begin → what makes it so for order 42, and not for order 41."""


def opened(shop: Shop) -> Shop:
    """Create two overdue orders, with the columns and tables of the page."""
    shop.create()
    with shop.engine.begin() as connection:
        for column in ("paid_at", "approved_at", "deleted_at"):
            connection.exec_driver_sql(f"ALTER TABLE orders ADD COLUMN {column} TIMESTAMP NULL")
        connection.exec_driver_sql("ALTER TABLE orders ADD COLUMN is_on_hold BOOLEAN DEFAULT FALSE")
        connection.exec_driver_sql("ALTER TABLE orders ADD COLUMN total INT DEFAULT 9")
        for table in ("payments", "gift_cards"):
            connection.exec_driver_sql(
                f"CREATE TABLE {table} (order_id VARCHAR(255) REFERENCES orders (id), amount INT)"
            )
    shop.place("41", "42")
    return shop


def run(shop: Shop, statements: str) -> None:
    with shop.engine.begin() as connection:
        for statement in statements.split("; "):
            connection.exec_driver_sql(statement)


def recipes() -> dict[str, str]:
    """Return the conditions of the recipes, by the beginnings of their rows."""
    rows = re.findall(r'^\| (.*?) \| (?:`ORDERS_CONDITION="(.*?)"`|`([^`]* [^`]*)`)', PAGE, re.MULTILINE)
    found = {name: first or second for name, first, second in rows}
    return {known: condition for known in KEEPS_42 for name, condition in found.items() if name.startswith(known)}


def code(mark: str) -> str:
    """Return the block that contains a text."""
    [block] = [block.text for block in blocks(PAGE) if block.language == "python" and mark in block.text]
    return block


def executed(block: str, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Execute a block with the decorators of this shop's hooks; return its names."""
    for decorator in ("condition", "guard", "on_expire"):
        monkeypatch.setattr(orders, decorator, getattr(shop.hooks, decorator))
    names: dict[str, Any] = {}
    exec(block, names)
    return names


def test_each_recipe_with_a_condition_is_tested() -> None:
    assert recipes().keys() == KEEPS_42.keys()
    assert len(re.findall(r"^\| (?:`paid_at`|a row of|it (?:is|awaits)).*\|$", PAGE, re.MULTILINE)) == len(KEEPS_42)


@pytest.mark.parametrize("recipe", KEEPS_42)
def test_a_recipe_keeps_what_it_says_and_nothing_else(shop: Shop, recipe: str) -> None:
    shop = opened(shop).configured(condition=recipes()[recipe])
    run(shop, KEEPS_42[recipe])
    assert shop.claim_and_expire() == {"expired": 1, "kept": 1}
    assert [shop.status(order_id) for order_id in ("41", "42")] == ["expired", "pending"]


def test_the_condition_as_text(shop: Shop) -> None:
    [condition] = re.findall(r'export ORDERS_CONDITION="(.*)"', PAGE)
    shop = opened(shop).configured(condition=condition)
    run(shop, "UPDATE orders SET is_on_hold = TRUE WHERE id = '42'")
    assert shop.claim_and_expire() == {"expired": 1, "kept": 1}
    assert shop.status("42") == "pending"


def test_the_condition_as_an_expression(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    opened(shop)
    executed(code('sa.table("gift_cards"'), shop, monkeypatch)
    run(shop, "INSERT INTO gift_cards VALUES ('42', 9)")
    assert shop.configured().claim_and_expire() == {"expired": 1, "kept": 1}
    assert shop.status("42") == "pending"


@on_sqlite
def test_a_payment_in_progress(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    begin_payment = executed(code("orders.hold"), opened(shop), monkeypatch)["begin_payment"]
    with process.using(shop.expiry):
        assert begin_payment("42") == "https://gateway.example/3ds"
        assert shop.claim_and_expire() == {"expired": 1}
        assert begin_payment("41") == "/orders/41"
    assert (shop.status("42"), shop.kinds("42")) == ("pending", ["extended"])


@on_sqlite
def test_the_gateway_knows_when(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed(code("Answer.LATER"), opened(shop), monkeypatch)
    names["status_of"] = {"41": "failed", "42": "transfer_pending"}.get
    assert shop.configured().claim_and_expire() == {"expired": 1, "not_due": 1}
    assert (shop.score("42") or 0) > shop.schedule.now() + 86_000
    names["status_of"] = {"42": "succeeded"}.get
    shop.redis.zadd("orders", {"42": 1.0})
    shop.change("42", expires_at=shop.clock.now().replace(tzinfo=None))
    assert shop.configured().claim_and_expire() == {"paid": 1}


@on_sqlite
def test_cancelling(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    names = executed(code("def cancel("), opened(shop), monkeypatch)
    executed(code("def close("), shop, monkeypatch)
    with process.using(shop.expiry):
        assert names["cancel"]("42") is True
        assert names["cancel"]("42") is False
    [event] = shop.events("42")
    assert (event.kind, event.data) == (EventKind.CANCELLED, {"reason": "the customer changed their mind"})
    assert shop.claim_and_expire() == {"expired": 1}
