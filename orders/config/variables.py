"""The ``ORDERS_*`` variables of the environment that are not settings: misspelt ones, or the shop's own."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import SequenceMatcher

from orders.config.settings import PREFIX, Settings

OTHERS = {"ORDERS_APP"}
"""Variables that this package reads and that are not settings; see `orders.process.ADAPTERS`."""

SIMILAR = 0.8
"""How similar a misspelt name is to the right one: the share of its characters that are also there, in that order."""

LONGER = 2
"""How many characters longer or shorter it is, at most. So ``ORDERS_BASE_URL`` is not ``ORDERS_DATABASE_URL``."""


def strangers(variables: Iterable[str]) -> list[str]:
    """Return the ``ORDERS_*`` variables that are not settings, of a whole environment."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OTHERS
    return sorted(name for name in variables if name.upper().startswith(PREFIX) and name.upper() not in known)


def misspelt(variables: Iterable[str]) -> dict[str, str]:
    """Return the variables that look like misspelt settings, each with the setting that it resembles.

    It is not an error to have others: the shop may have some of its own, and Kubernetes makes ``ORDERS_SERVICE_HOST``
    for a service with the name orders.
    """
    resembled = {name: _similar(name.upper().removeprefix(PREFIX)) for name in strangers(variables)}
    return {name: f"{PREFIX}{setting}" for name, setting in resembled.items() if setting}


def _similar(name: str) -> str | None:
    settings = [setting.upper() for setting in Settings.model_fields if abs(len(setting) - len(name)) <= LONGER]
    best = max(settings, key=lambda setting: _similarity(name, setting), default="")
    return best if _similarity(name, best) >= SIMILAR else None


def _similarity(one: str, other: str) -> float:
    return SequenceMatcher(None, one, other, autojunk=False).ratio()
