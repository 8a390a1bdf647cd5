"""The command ``orders``. It is outside the package `orders`, so that it can tell if another package hides that."""

from __future__ import annotations

import sys


def main() -> None:
    """Run `orders.cli.main`, or exit with a message if `orders` is not ours."""
    try:
        from orders.names import NAME  # noqa: F401, PLC0415 - `main` reports that it is missing
    except ModuleNotFoundError as error:
        if error.name != "orders.names":
            raise
        sys.exit(
            f"error: {sys.modules['orders']!r} hides the package of order-expiry. Write `order_expiry` for `orders` in "
            "imports and in INSTALLED_APPS, and type order-expiry instead of this command"
        )
    from orders.cli import main as run  # noqa: PLC0415 - only if it is ours

    run()
