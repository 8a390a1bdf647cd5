"""Order ids in URLs and forms. An id may be any bytes, and must come back as the same bytes."""

from __future__ import annotations

from orders import ids

HEX = "hex:"


def encode(order_id: str) -> str:
    """Return an id for URLs and forms: unchanged if it is plain text, otherwise its bytes in hexadecimal."""
    # Browsers change line breaks in forms, and a lone surrogate cannot be encoded as UTF-8.
    is_plain = order_id.isprintable() and order_id == order_id.strip() and not order_id.startswith(HEX)
    return order_id if is_plain and order_id else HEX + ids.encode(order_id).hex()


def decode(key: str) -> str | None:
    """Return the id that `encode` encoded; None if the key is not valid."""
    if not key.startswith(HEX):
        return key
    try:
        return ids.decode(bytes.fromhex(key.removeprefix(HEX)))
    except ValueError:
        return None


def show(order_id: str) -> str:
    """Return an id for a page. Unprintable characters become escapes, direction marks and NUL included."""
    text = ids.printable(order_id)
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)
