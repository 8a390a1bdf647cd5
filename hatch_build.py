"""Writes the code into the wheel a second time, as `order_expiry`: for shops that have a package `orders` of their own.

The copy is plain Python. Only its import statements, and the commands that its messages and docstrings tell, differ.
All other names of modules in strings follow from ``__name__``, ``__package__`` or `orders.names`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SECOND_NAME = "order_expiry"

PLACES = {"orders": "", "tasks": "tasks", "celeryconfig.py": "celeryconfig.py"}
"""What is copied, and where inside the package it goes."""

SUBSTITUTES = (
    (r"^(\s*)from orders\b", rf"\1from {SECOND_NAME}"),
    (r"^(\s*)from tasks\b", rf"\1from {SECOND_NAME}.tasks"),
    (r"^(\s*)import orders$", rf"\1import {SECOND_NAME} as orders"),
    (r"^(\s*)import tasks$", rf"\1from {SECOND_NAME} import tasks"),
    (r"`orders (?=[\w-])", f"`{SECOND_NAME.replace('_', '-')} "),
    (r"-A tasks\b", f"-A {SECOND_NAME}.tasks"),
)
"""Patterns of import statements and of commands, and what replaces them."""

ONLY_IN_BUILT_WHEELS = """\
raise ImportError(
    "order-expiry is installed from a checkout with --editable, where it has only its name `orders`: "
    "install a wheel, with `pip install` without --editable, to import it as `order_expiry`",
    name=__name__,
)
"""


class SecondName(BuildHookInterface):  # type: ignore[type-arg]  # of any configuration
    """Adds the copy to a wheel. An editable wheel gets a package that tells that there is none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write the package into a folder, and include it."""
        self._folder = tempfile.TemporaryDirectory()
        package = Path(self._folder.name)
        if version == "editable":
            (package / "__init__.py").write_text(ONLY_IN_BUILT_WHEELS)
        else:
            write(Path(self.root), package)
        for included in ("force_include", "force_include_editable"):
            build_data[included][str(package)] = SECOND_NAME

    def finalize(self, *_: object) -> None:
        """Delete the folder."""
        self._folder.cleanup()


def write(root: Path, package: Path) -> None:
    """Write the copy of the code below *root* into the folder of the package."""
    for place, inside in PLACES.items():
        for path in _files(root / place):
            copy = package / inside / path.relative_to(root / place)
            copy.parent.mkdir(parents=True, exist_ok=True)
            content = path.read_bytes()
            copy.write_bytes(rewrite(content.decode()).encode() if path.suffix == ".py" else content)


def rewrite(source: str) -> str:
    """Return the text of a module with the second name."""
    for pattern, substitute in SUBSTITUTES:
        source = re.sub(pattern, substitute, source, flags=re.MULTILINE)
    return source


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
    yield from (path for path in sorted(place.rglob("*")) if path.is_file() and path.parent.name != "__pycache__")
