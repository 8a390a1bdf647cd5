"""Order ids: text in Python, bytes as members of the sorted set in Redis.

Every client that can write to Redis can add any bytes as a member. Bytes that are not UTF-8 are decoded to text with
lone surrogates (PEP 383). This text survives JSON and is encoded to the same bytes again, so that even such a member
can be moved and removed. It is not a valid order id: `parse` rejects it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from uuid import UUID

from orders.errors import InvalidOrderId

OrderId = str | int | UUID
"""The types of order ids that the public functions accept."""

MAX_LENGTH = 255
"""The maximum length of an id in characters: the usual length of a text key column in Django and MySQL."""


def parse(order_id: object) -> str:
    """Return an order id as text.

    Raises:
        InvalidOrderId: it is not text, an integer or a UUID; or it is empty, longer than `MAX_LENGTH`, or contains
            characters that no database can store (NUL, lone surrogates).
    """
    if isinstance(order_id, bool) or not isinstance(order_id, str | int | UUID):
        raise InvalidOrderId(
            f"an order id must be text, an integer or a UUID, not {order_id!r} ({type(order_id).__name__})"
        )
    if isinstance(order_id, int) and order_id.bit_length() > 64:
        raise InvalidOrderId(f"the order id is an integer of {order_id.bit_length()} bits: it must have at most 64")
    text = str(order_id)
    if not 0 < len(text) <= MAX_LENGTH:
        given = f"{text[:40]}… ({len(text)} characters)" if text else "empty"
        raise InvalidOrderId(f"the order id is {given}: it must have 1 to {MAX_LENGTH} characters")
    if not text.isprintable() and ("\0" in text or not _is_unicode(text)):
        raise InvalidOrderId(f"the order id {text!r} contains NUL or bytes that are not UTF-8")
    return text


def decode(member: bytes) -> str:
    """Return the text of a member that Redis returned as bytes."""
    return member.decode("utf-8", "surrogateescape")


def encode(order_id: str) -> bytes:
    """Return the member of an order id: the reverse of `decode`."""
    return order_id.encode("utf-8", "surrogateescape")


def decode_all(members: Iterable[bytes]) -> Iterator[str]:
    """Decode many members. Faster than `decode` for each, because it calls no Python function per member."""
    return map(bytes.decode, members, repeat("utf-8"), repeat("surrogateescape"))


def encode_all(order_ids: Iterable[str]) -> Iterator[bytes]:
    """Encode many order ids. Faster than `encode` for each, because it calls no Python function per id."""
    return map(str.encode, order_ids, repeat("utf-8"), repeat("surrogateescape"))


def printable(order_id: str) -> str:
    """Return an order id for a log line: other characters than printable Unicode escaped, and long ids cut."""
    shown = order_id[:MAX_LENGTH]
    if not shown.isprintable():
        shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown)
    return shown if len(order_id) <= MAX_LENGTH else f"{shown}… ({len(order_id)} characters)"


def all_printable(order_ids: Sequence[str]) -> list[str]:
    """Return `printable` of each order id, in a tenth of the time if none needs a change."""
    if "".join(order_ids).isprintable() and max(map(len, order_ids), default=0) <= MAX_LENGTH:
        return list(order_ids)
    return list(map(printable, order_ids))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
