"""The filters and variables of the templates, which the three shops share."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2

HERE = Path(__file__).parent
TEMPLATES = HERE / "templates"
STATIC = HERE / "static"

REFUSALS = {
    "too_late": "This payment came too late.",
    "closed": "This order was cancelled before the payment came.",
    "duplicate": "This order was paid already.",
}
"""The text for a refunded payment, by its verdict."""

TABS = {"all": "All", "pending": "To pay", "paid": "Paid", "expired": "Expired", "cancelled": "Cancelled"}
"""The tabs of a customer's orders: all of them, and one for each status, with its name for customers."""

MOST = 99
"""How many of a product a customer may order at once."""

CONTACT = "help@kiln.example"
"""Whom a customer may ask."""

PATIENCE = 10.0
"""Seconds after its deadline in which an order is normally closed. Then the shop says that it takes longer."""


def dress(
    environment: jinja2.Environment, *, framework: str, hold: Callable[[], float], operator_url: str = "/operator"
) -> None:
    """Add the filters and variables of the templates to an environment.

    Args:
        environment: the Jinja environment.
        framework: the framework's name.
        hold: returns for how many seconds the shop reserves the stock of an order.
        operator_url: the URL of the operators' page.
    """
    environment.filters |= {
        "duration": duration,
        "iso": lambda value: utc(value).isoformat(),
        "moment": lambda value: f"{utc(value):%H:%M:%S} UTC",
        "money": lambda cents: f"€\u202f{cents / 100:,.2f}",
        "unix": lambda value: f"{utc(value).timestamp():.3f}",
    }
    environment.globals |= {
        "REFUSALS": REFUSALS,
        "framework": framework,
        "hold": hold,
        "operator_url": operator_url,
        "server_time": time.time,
    }
    environment.filters["is_late"] = lambda value: time.time() > utc(value).timestamp() + PATIENCE
    environment.globals |= {"CONTACT": CONTACT, "MOST": MOST, "TABS": TABS, "refusal": refusal}


def duration(seconds: float) -> str:
    """Return a duration in words: ``duration(90)`` is "1 minute 30 seconds"."""
    minutes, rest = divmod(round(seconds), 60)
    parts = [(minutes, "minute"), (rest, "second")]
    return " ".join(f"{number} {unit}{'s' if number != 1 else ''}" for number, unit in parts if number)


def number(text: str | None) -> int:
    """Return the number that a form or an address has; 0 if it has none of up to nine digits."""
    return int(text) if text and re.fullmatch("[0-9]{1,9}", text) else 0


def refusal(product: Any, units: int) -> str:
    """Return why an order was refused.

    Args:
        product: with its stock as it is now; None if there is no such product.
        units: how many the customer wanted.
    """
    if product is None:
        return "There is no such product."
    if not 1 <= units <= MOST:
        return f"Choose a number from 1 to {MOST}."
    if product.stock >= units:
        return f"{product.name}: there were fewer than {units}, and now there are {product.stock} again."
    left = f"{product.stock} are" if product.stock > 1 else "1 is" if product.stock else "none is"
    return f"{product.name}: you asked for {units}, and {left} left."


def utc(value: datetime) -> datetime:
    """Add the time zone UTC to a naive datetime, because SQLite and MySQL return datetimes without one."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)
