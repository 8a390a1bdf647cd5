"""What the templates, which the three shops share, ask for: filters, and words of the library in those of the shop."""

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
"""By the verdict of a payment that has a refund key."""


def dress(
    environment: jinja2.Environment, *, framework: str, hold: Callable[[], float], operator_url: str = "/operator"
) -> None:
    """Give an environment the filters and the words that the templates use.

    Args:
        environment: Jinja's.
        framework: its name.
        hold: tells for how many seconds the shop holds what was ordered.
        operator_url: where operators go.
    """
    environment.filters |= {
        "duration": duration,
        "iso": lambda instant: utc(instant).isoformat(),
        "moment": lambda instant: f"{utc(instant):%H:%M:%S} UTC",
        "money": lambda cents: f"€\u202f{cents / 100:,.2f}",
        "told": lambda value: f"{value:%Y-%m-%d %H:%M:%S} UTC" if isinstance(value, datetime) else value,
        "unix": lambda instant: f"{utc(instant).timestamp():.3f}",
    }
    environment.globals |= {
        "REFUSALS": REFUSALS,
        "framework": framework,
        "hold": hold,
        "operator_url": operator_url,
        "server_time": time.time,
    }


def duration(seconds: float) -> str:
    """Return a time to pay in words: ``duration(90)`` is "1 minute 30 seconds"."""
    minutes, rest = divmod(round(seconds), 60)
    parts = [(minutes, "minute"), (rest, "second")]
    return " ".join(f"{number} {unit}{'s' if number != 1 else ''}" for number, unit in parts if number)


def utc(instant: datetime) -> datetime:
    """Return an instant as the application may use it: SQLite and MySQL give it back without its time zone."""
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)
