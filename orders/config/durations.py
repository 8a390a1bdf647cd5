"""Time spans as people write them: 90s, 30m, 1h, 2d."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import NamedTuple, Self

_UNITS = {
    "": timedelta(seconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}

_YEAR = timedelta(days=366)


def parse_duration(text: str) -> timedelta:
    """Return a time span.

    Raises:
        ValueError: it is not one of the forms.
    """
    found = re.fullmatch(r"(\d{1,9})([smhd]?)", text.strip())
    if not found:
        raise ValueError(f"{text!r}: it must be a number of seconds, or such as 90s, 30m, 1h, 2d")
    return int(found[1]) * _UNITS[found[2]]


class Brake(NamedTuple):
    """The brake (``ORDERS_BRAKE``): how many orders may expire, and in which time."""

    limit: int
    seconds: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the brake of a text such as ``5000/10m``.

        Raises:
            ValueError: it has another form, the number is 0, or the time is not between a second and a year.
        """
        limit, _, window = text.partition("/")
        span = parse_duration(window)
        if not re.fullmatch(r"\d{1,9}", limit.strip()) or not int(limit) or not timedelta(seconds=1) <= span <= _YEAR:
            raise ValueError(f"{text!r} is not a brake")
        return cls(int(limit), span.total_seconds())
