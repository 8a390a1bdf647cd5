"""The page about reminders: its code writes to customers who still have to pay, and its `ZADD` is looked at in time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import orders
from orders import process
from tests.blocks import blocks
from tests.conftest import Shop
from tests.integration.reminders.shop import deadline_of, due_at, place, reminding

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "reminders.md").read_text()

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_handler_writes_to_those_who_have_to_pay(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    [remind] = re.findall(r"export ORDERS_REMIND=(.*)", PAGE)
    shop, sent = reminding(shop, remind), list[tuple[str, str]]()
    [code] = [block.text for block in blocks(PAGE) if block.language == "python"]
    monkeypatch.setattr(orders, "on_event", shop.hooks.on_event)
    names: dict[str, Any] = {"send_mail": lambda order_id, text, **_: sent.append((order_id, text))}
    exec(compile(code, "reminders.md", "exec"), names)
    place(shop, "42", "43")
    assert shop.claim_and_expire() == {"reminded": 2}
    assert shop.expiry.pay("43").is_accepted  # before the events are delivered
    with process.using(shop.expiry):
        assert shop.expiry.deliver() == {"delivered": 3}
    assert sent == [("42", f"Please pay by {deadline_of(shop, '42'):%H:%M} UTC")]


def test_another_program_schedules_the_first_look(shop: Shop) -> None:
    [seconds] = re.findall(r"ZADD orders <deadline - (\d+)> <id>", PAGE)
    shop = reminding(shop, f"{seconds}s")
    shop.place("42", due=int(seconds) - 1, enqueue=False)
    shop.redis.zadd("orders", {"42": due_at(shop, "42") - int(seconds)})
    assert shop.claim_and_expire() == {"reminded": 1}
    assert shop.score("42") == pytest.approx(due_at(shop, "42"), abs=1e-5)
