"""Ids of orders in addresses and forms: text that comes back as the same bytes, whatever a member holds."""

from __future__ import annotations

from orders import ids

HEX = "hex:"


def encode(order_id: str) -> str:
    """Return an id as it stands in addresses and forms: itself, or its bytes in hexadecimal if text may not hold it."""
    # Browsers change line breaks in forms; a lone surrogate has no UTF-8.
    is_plain = order_id.isprintable() and order_id == order_id.strip() and not order_id.startswith(HEX)
    return order_id if is_plain and order_id else HEX + ids.encode(order_id).hex()


def decode(key: str) -> str | None:
    """Return the id that `encode` was given; None if it cannot have been one."""
    if not key.startswith(HEX):
        return key
    try:
        return ids.decode(bytes.fromhex(key.removeprefix(HEX)))
    except ValueError:
        return None


def show(order_id: str) -> str:
    """Return an id as a page can show it: what is not printable as escapes, direction marks and NUL included."""
    text = ids.printable(order_id)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
