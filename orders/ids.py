"""Order ids, as the members of a sorted set: text on this side, bytes on the other.

Whoever may write to Redis may add any bytes as a member. Bytes that are not UTF-8 become text with lone
surrogates (PEP 383), survive JSON like that, and turn back into the same bytes, so that even such a member can
be moved and removed. They are nobody's order, and `parse` refuses them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from uuid import UUID

from orders.errors import InvalidOrderId

OrderId = str | int | UUID
"""What the public functions take as an order's id."""

MAX_LENGTH = 255
"""Characters that an id may have: the usual length of a key column (Django's, MySQL's) that is text."""


def parse(order_id: object) -> str:
    """Return the member under which an order is scheduled: its id as text.

    Raises:
        InvalidOrderId: it is neither text, an integer nor a UUID; it is empty, longer than `MAX_LENGTH`, or
            holds what no database can store (a NUL, a lone surrogate).
    """
    if isinstance(order_id, bool) or not isinstance(order_id, str | int | UUID):
        raise InvalidOrderId(f"an order id is text, an integer or a UUID, not {order_id!r} ({type(order_id).__name__})")
    if isinstance(order_id, int) and order_id.bit_length() > 64:
        raise InvalidOrderId(f"the order id is an integer of {order_id.bit_length()} bits; at most 64 are accepted")
    text = str(order_id)
    if not 0 < len(text) <= MAX_LENGTH:
        given = f"{text[:40]}… ({len(text)} characters)" if text else "empty"
        raise InvalidOrderId(f"the order id is {given}; accepted are 1 to {MAX_LENGTH} characters")
    if not text.isprintable() and ("\0" in text or not _is_unicode(text)):
        raise InvalidOrderId(f"the order id {text!r} holds a NUL or bytes that are not UTF-8")
    return text


def decode(member: bytes) -> str:
    """Return a member that Redis sent as text."""
    return member.decode("utf-8", "surrogateescape")


def encode(member: str) -> bytes:
    """Return the bytes of a member: what `decode` was given."""
    return member.encode("utf-8", "surrogateescape")


def decode_all(members: Iterable[bytes]) -> Iterator[str]:
    """Do the same as `decode` for many, without a call of Python's for each."""
    return map(bytes.decode, members, repeat("utf-8"), repeat("surrogateescape"))


def encode_all(members: Iterable[str]) -> Iterator[bytes]:
    """Do the same as `encode` for many, without a call of Python's for each."""
    return map(str.encode, members, repeat("utf-8"), repeat("surrogateescape"))


def printable(member: str) -> str:
    """Return a member as a line of a log can hold it: what is no printable Unicode as escapes, and no end of it."""
    shown = member[:MAX_LENGTH]
    if not shown.isprintable():
        shown = "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in shown)
    return shown if len(member) <= MAX_LENGTH else f"{shown}… ({len(member)} characters)"


def all_printable(members: Sequence[str]) -> list[str]:
    """Return members as `printable` does, in a tenth of the time for those that need no change."""
    if "".join(members).isprintable() and max(map(len, members), default=0) <= MAX_LENGTH:
        return list(members)
    return list(map(printable, members))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
