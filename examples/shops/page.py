"""The filters and variables of the templates, which the three shops share."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

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
        "told": lambda value: f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value,
        "unix": lambda value: f"{utc(value).timestamp():.3f}",
    }
    environment.globals |= {
        "REFUSALS": REFUSALS,
        "framework": framework,
        "hold": hold,
        "operator_url": operator_url,
        "server_time": time.time,
    }


def duration(seconds: float) -> str:
    """Return a duration in words: ``duration(90)`` is "1 minute 30 seconds"."""
    minutes, rest = divmod(round(seconds), 60)
    parts = [(minutes, "minute"), (rest, "second")]
    return " ".join(f"{number} {unit}{'s' if number != 1 else ''}" for number, unit in parts if number)


def utc(value: datetime) -> datetime:
    """Add the time zone UTC to a naive datetime, because SQLite and MySQL return datetimes without one."""
    return value if value.tzinfo else value.replace(tzinfo=UTC)
