"""What ``--help`` shows: the groups of the commands, and no type for flags, which take no value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand, TyperGroup

GROUPS: Mapping[str, str] = {
    "Try it, and set it up": "demo up init-db",
    "One order, or many": "enqueue extend hold pay cancel check remove",
    "Look": "explain list stats forecast audit doctor metrics web",
    "Intervene": "pause resume sweep reconcile adopt dead webhooks",
}
"""The names of the commands of each group."""


def group_of(verb: str) -> str | None:
    """Return the group of a command."""
    return next((group for group, verbs in GROUPS.items() if verb in verbs.split()), None)


class Command(TyperCommand):
    """A command whose help shows no type for flags. Typer would write ``--help <bool>``."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options and arguments."""
        return _without_types(super().get_params(ctx))


class Group(TyperGroup):
    """A group of commands, with the same help."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the options."""
        return _without_types(super().get_params(ctx))


def _without_types(params: list[Any]) -> list[Any]:
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params
