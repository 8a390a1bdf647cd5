"""The environment of the shop's Jinja2 templates."""

from __future__ import annotations

from typing import Any

import jinja2

import orders
from examples.shops.page import dress


def environment(**options: Any) -> jinja2.Environment:
    """Return the environment. Django's setting ``TEMPLATES`` names this function."""
    made = jinja2.Environment(**options)  # noqa: S701 - Django's options turn autoescape on
    dress(
        made,
        framework="Django",
        hold=lambda: orders.current().settings.timeout,
        operator_url="/admin/order_expiry/schedule/",
    )
    return made
