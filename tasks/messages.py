"""What a worker believes of a message. Whoever may write to the broker may send any arguments that are JSON.

An id need not be one that a row can have: the schedule may hold any member, which has to reach a worker to be buried.
The row decides about it. All else must be as a sweep sends it: what is not is refused before anything is done, so it
harms no message that is expired in the same attempt.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from orders.config import MAX_BATCH, MAX_SHARDS
from orders.errors import InvalidMessage
from orders.schedule import Lease

_SHOWN = 100
"""Characters of a wrong argument that an error shows."""


def parse_claim(order_ids: Sequence[object], lease: object, shard: object) -> tuple[list[str], Lease]:
    """Return what a message of ``orders.expire`` holds: the ids, and the lease that they were claimed with.

    Raises:
        InvalidMessage: it holds something else.
    """
    if not 0 < len(order_ids) <= MAX_BATCH:
        raise InvalidMessage(f"the message has {len(order_ids)} order ids: accepted are 1 to {MAX_BATCH:,}")
    members = [_member(order_id) for order_id in order_ids]
    # (a bool is an int, and JSON as Python reads it has NaN and Infinity)
    if isinstance(lease, bool) or not isinstance(lease, int | float) or not _is_finite(lease):
        raise InvalidMessage(f"the lease in the message is {_shown(lease)}: accepted is the token of a claim, a number")
    return members, Lease(float(lease), parse_shard(shard))


def parse_shard(shard: object) -> int | None:
    """Return the shard that a message names; None if it names none.

    Raises:
        InvalidMessage: that is no shard.
    """
    if shard is None:
        return None
    if isinstance(shard, bool) or not isinstance(shard, int) or not 0 <= shard < MAX_SHARDS:
        raise InvalidMessage(
            f"the shard in the message is {_shown(shard)}: accepted is a whole number from 0 to {MAX_SHARDS - 1:,}"
        )
    return shard


def _member(order_id: object) -> str:
    if not isinstance(order_id, str) or not order_id:
        raise InvalidMessage(f"an order id in the message is {_shown(order_id)}: accepted is text that is not empty")
    try:
        order_id.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidMessage(f"an order id in the message is {_shown(order_id)}: no member can be that") from error
    return order_id


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number that no score can be
        return False


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}… ({type(value).__name__}, {len(text)} characters)"
