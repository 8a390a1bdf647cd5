"""Checks of arguments whose wrong types would otherwise be ignored, or fail somewhere else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, get_args

from orders.config import mask
from orders.ids import OrderId

Pair = tuple[OrderId, datetime | None]
"""An order id and its deadline."""


def check_type(name: str, value: object, accepted: Any) -> None:
    """Check an argument.

    Args:
        name: the name of the argument.
        value: its value.
        accepted: a class, or a union such as ``Settings | None``.

    Raises:
        TypeError: the value is of another type.
    """
    if not isinstance(value, accepted):
        kinds = " or ".join(kind.__name__ for kind in get_args(accepted) or (accepted,)).replace("NoneType", "None")
        raise TypeError(f"{name}={mask(repr(value))[:80]}: it must be {kinds}, not {type(value).__name__}")


def pairs_of(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Yield the pairs that an iterable holds.

    Raises:
        TypeError: it is not an iterable, or holds something else.
    """
    if isinstance(pairs, str | bytes | Mapping) or not isinstance(pairs, Iterable):
        raise TypeError(f"pairs={pairs!r:.80}: it must be an iterable of pairs, each an order id and its deadline")
    for pair in pairs:
        try:
            order_id, deadline = pair
        except (TypeError, ValueError) as error:
            raise TypeError(f"{pair!r:.80} is not a pair of an order id and its deadline, or None") from error
        yield order_id, deadline
