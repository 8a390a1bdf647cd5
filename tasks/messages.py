"""Validate the arguments of ``orders.expire``: anyone who can write to the broker can send any JSON.

An order id may be any member of the sorted set, even one that no row can have, because a worker must be able to bury
it. All other arguments must be as a sweep sends them. An invalid message is rejected before the attempt starts, so it
does not affect the other messages of the attempt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orders.config import MAX_BATCH, MAX_SHARDS
from orders.errors import InvalidMessage
from orders.schedule import Lease

_SHOWN = 100
"""The most characters of an invalid argument that an error shows."""


def parse_claim(order_ids: Sequence[object], lease: object, shard: object) -> tuple[list[str], Lease]:
    """Return the order ids of a message of ``orders.expire``, and the lease with which they were claimed.

    Raises:
        InvalidMessage: an argument is invalid.
    """
    if not 0 < len(order_ids) <= MAX_BATCH:
        raise InvalidMessage(f"the message has {len(order_ids)} order ids: it must have 1 to {MAX_BATCH:,}")
    members = list(map(_member, order_ids))
    # A bool is an int in Python, and its JSON reader accepts NaN and Infinity.
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not _is_finite(lease):
        raise InvalidMessage(
            f"the lease in the message is {_shown(lease)}: it must be the token of a claim, a finite number"
        )
    return members, Lease(float(lease), parse_shard(shard))


def parse_shard(shard: object) -> int | None:
    """Return the shard that a message names; None if it names none.

    Raises:
        InvalidMessage: it is not a valid shard.
    """
    if shard is None:
        return None
    if isinstance(shard, bool) or not isinstance(shard, int) or not 0 <= shard < MAX_SHARDS:
        raise InvalidMessage(
            f"the shard in the message is {_shown(shard)}: it must be a whole number from 0 to {MAX_SHARDS - 1:,}"
        )
    return shard


def _member(order_id: object) -> str:
    if not isinstance(order_id, str) or not order_id:
        raise InvalidMessage(f"an order id in the message is {_shown(order_id)}: it must be text that is not empty")
    try:
        order_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidMessage(
            f"an order id in the message is {_shown(order_id)}: it must be text that UTF-8 can encode"
        ) from error
    return order_id


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # an int too large for a float
        return False


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({type(value).__name__}, {len(text)} characters)"
