"""Order ids: text in Python, bytes as members of the sorted set in Redis.

Every client that can write to Redis can add any bytes as a member. Bytes that are not UTF-8 are decoded to text with
lone surrogates (PEP 383). This text survives JSON and is encoded to the same bytes again, so that even such a member
can be moved and removed. It is not a valid order id: `parse` rejects it.

References, the ids that a gateway gives to payments, are text with the same limits: see `parse_reference`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from uuid import UUID

from orders.errors import InvalidOrderId, InvalidReference

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
            f"an order id must be text, an integer or a UUID, not {_shown(order_id)} ({type(order_id).__name__})"
        )
    if isinstance(order_id, int) and order_id.bit_length() > 64:
        raise InvalidOrderId(f"the order id is an integer of {order_id.bit_length()} bits: it must have at most 64")
    text = str(order_id)
    if problem := _problem(text):
        raise InvalidOrderId(f"the order id {problem}")
    return text


def parse_reference(reference: object) -> str | None:
    """Return the gateway's id of a payment, unchanged: it is compared exactly, with its case and its blanks.

    Raises:
        InvalidReference: it is neither text nor None; or it is empty, longer than `MAX_LENGTH`, or contains characters
            that no database can store (NUL, lone surrogates).
    """
    if reference is None:
        return None
    if not isinstance(reference, str):
        raise InvalidReference(
            f"a reference must be text or None, not {_shown(reference)} ({type(reference).__name__})"
        )
    if problem := _problem(reference):
        raise InvalidReference(f"the reference {problem}")
    return reference


def decode(member: bytes) -> str:
    """Return the text of a member that Redis returned as bytes."""
    return member.decode("utf-8", "surrogateescape")


def encode(order_id: str) -> bytes:
    """Return the member of an order id: the reverse of `decode`."""
    return order_id.encode("utf-8", "surrogateescape")


def from_json(members: bytes) -> list[str]:
    """Return the texts of a list of members that a script returned as JSON: much faster than `decode` for each."""
    texts: list[str] = json.loads(decode(members))
    return texts


def to_json(order_ids: Sequence[str]) -> bytes:
    """Return the members of order ids as JSON: the reverse of `from_json`."""
    return encode(json.dumps(order_ids, ensure_ascii=False))


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


def _problem(text: str) -> str | None:
    """Return what is wrong with a text that databases must hold; None if nothing is."""
    if not 0 < len(text) <= MAX_LENGTH:
        given = f"{text[:40]}… ({len(text)} characters)" if text else "empty"
        return f"is {given}: it must have 1 to {MAX_LENGTH} characters"
    if not text.isprintable() and ("\0" in text or not _is_unicode(text)):
        return f"{text!r} contains NUL or bytes that are not UTF-8"
    return None


def _shown(value: object) -> str:
    try:
        return repr(value)[:80]
    except ValueError:  # an integer with more digits than Python turns into text
        return "such a value"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
