"""The products of the three shops, as rows for each shop's own table."""

from __future__ import annotations

from typing import Any

_COLUMNS = ("name", "shape", "glaze", "price", "stock", "note")

_ROWS = (
    ("Tea bowl", "bowl", "shino", 2800, 12, "Sits in both hands, and keeps them warm."),
    ("Pitcher", "pitcher", "cobalt", 6400, 5, "Pours without a drip. We have tried."),
    ("Bottle vase", "bottle", "celadon", 8500, 3, "For one branch, or for none."),
    ("Dinner plate", "plate", "ash", 3600, 24, "Heavy enough to stay where you put it."),
    ("Espresso cup", "cup", "tenmoku", 1800, 16, "Thick at the foot, thin at the lip."),
    ("Moon jar", "moon", "snow", 24000, 1, "Two halves, joined. There is only one."),
)

PRODUCTS: list[dict[str, Any]] = [
    *({**dict(zip(_COLUMNS, row, strict=True)), "is_listed": True, "is_broken": False} for row in _ROWS),
    {
        "name": "Cracked bowl",
        "shape": "bowl",
        "glaze": "tenmoku",
        "price": 900,
        "stock": 5,
        "note": "Its place on the shelf is broken: nothing can be put back there.",
        "is_listed": False,
        "is_broken": True,  # so orders for it cannot expire until an operator mends the place
    },
]
"""Prices are in cents."""
