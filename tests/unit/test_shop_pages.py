"""What customers of the example shops read. The three shops share these pages."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import jinja2
import pytest

from examples.shops.page import CONTACT, PATIENCE, TEMPLATES, dress, number, refusal

PRODUCT = SimpleNamespace(id=1, name="Tea bowl", shape="bowl", glaze="shino", price=2800, stock=12)


def rendered(template: str, **context: Any) -> str:
    """Return the text of a page, without its tags."""
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True)
    dress(environment, framework="none", hold=lambda: 60.0)
    page = environment.get_template(template).render(csrf_input="", **context)
    return " ".join(re.sub(r"<[^>]+>", " ", page[page.index("<main") :]).split())


def order(seconds_over: float, status: str = "pending") -> SimpleNamespace:
    """Return an order whose deadline passed so many seconds ago."""
    deadline = datetime.now(UTC) - timedelta(seconds=seconds_over)
    return SimpleNamespace(id=7, status=status, expires_at=deadline, product=PRODUCT, units=1, total=2800)


def test_an_order_that_cannot_be_closed_says_so_and_whom_to_ask() -> None:
    # given an order whose deadline has just passed, and one that should have been closed long ago
    soon, late = (rendered("order.html", order=order(over), refunds=()) for over in (1, PATIENCE + 1))
    assert "The order is being closed …" in soon
    assert CONTACT not in soon
    # then the late one promises nothing
    assert "Closing it takes longer than it should" in late
    assert f"write to {CONTACT} , and name order 7" in late
    assert "Pay €" not in late
    assert "The order is being closed …" not in late
    # and its row among the orders shows no countdown
    rows = rendered("orders.html", status="pending", orders=[order(PATIENCE + 1)], counts={"pending": 1})
    assert "Being closed" in rows
    assert "until" not in rows


@pytest.mark.parametrize(
    ("stock", "units", "why"),
    [
        (12, 90, "Tea bowl: you asked for 90, and 12 are left."),
        (1, 2, "Tea bowl: you asked for 2, and 1 is left."),
        (0, 1, "Tea bowl: you asked for 1, and none is left."),
        (12, 5, "Tea bowl: there were fewer than 5, and now there are 12 again."),
        (12, 0, "Choose a number from 1 to 99."),
        (12, 100, "Choose a number from 1 to 99."),
        (None, 1, "There is no such product."),
    ],
)
def test_a_refusal_gives_its_reason(stock: int | None, units: int, why: str) -> None:
    product = None if stock is None else SimpleNamespace(name="Tea bowl", stock=stock)
    assert refusal(product, units) == why


@pytest.mark.parametrize(
    ("text", "found"), [("7", 7), ("", 0), (None, 0), ("x", 0), ("-1", 0), ("9" * 30, 0), ("٣", 0)]
)
def test_a_number_of_a_form_is_a_number_that_any_database_can_hold(text: str | None, found: int) -> None:
    assert number(text) == found
