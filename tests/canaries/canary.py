"""`canary` makes a test a canary; `takes` checks a signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

P = ParamSpec("P")


@dataclass(frozen=True)
class Canary:
    """A row of the table in CONTRIBUTING.md."""

    library: str
    name: str
    used_in: tuple[str, ...]
    test: str


CANARIES: list[Canary] = []
"""Those whose files have been imported."""


def canary(library: str, name: str, *used_in: str) -> Callable[[Callable[P, None]], Callable[P, None]]:
    """Make a test a canary: its failure message says what has changed upstream and where we use it.

    Args:
        library: the name of the distribution.
        name: the attribute, as the library calls it.
        used_in: our files that use it.
    """

    def decorate(test: Callable[P, None]) -> Callable[P, None]:
        CANARIES.append(Canary(library, name, used_in, f"{Path(inspect.getfile(test)).name}::{test.__name__}"))

        @wraps(test)
        def run(*arguments: P.args, **options: P.kwargs) -> None:
            try:
                test(*arguments, **options)
            except Exception as error:
                raise AssertionError(
                    f"{library}: {name} is gone or has changed, and it is used in {', '.join(used_in)}: {error!r}"
                ) from error

        return run

    return decorate


def takes(function: Callable[..., object], *arguments: Any, **options: Any) -> None:
    """Check that a function could be called like this. It is not called."""
    inspect.signature(function).bind(*arguments, **options)
