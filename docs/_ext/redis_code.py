"""Directive ``redis-scripts``: the headers of the Lua scripts. And the page about Redis must name every key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path
from typing import Final

from generated import ROOT, Generated
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger
from sphinx.util.typing import ExtensionMetadata

from orders.keys import Keys

PAGE: Final = "docs/reference/redis"

_SCRIPTS: Final = ROOT / "orders" / "scripts"

_log = getLogger(__name__)


class Scripts(Generated):
    """Each script with what it does, its ``KEYS``, its ``ARGV``, and what it returns."""

    sources = tuple(sorted(_SCRIPTS.glob("*.lua")))

    def markdown(self) -> str:
        """Return a section for each."""
        return "\n\n".join(self._section(script) for script in self.sources)

    def _section(self, script: Path) -> str:
        told, _, contract = _header(script).partition("\nKEYS ")
        if not re.search(r"^ARGV |^Returns ", contract, re.MULTILINE):
            self.complain(f"orders/scripts/{script.name}: its header lacks KEYS, or what it returns")
        lines = re.sub(r" {3,}(?=\d)", "\n      ", f"KEYS {contract.strip()}")
        return f"### `{script.name}`\n\n{told.strip()}\n\n```text\n{lines}\n```"


def _header(script: Path) -> str:
    lines = takewhile(lambda line: line.startswith("--"), script.read_text().splitlines())
    return "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines)


def _keys() -> Iterator[str]:
    keys = Keys("orders")
    yield keys.schedule
    yield from (getattr(keys, name) for name, value in vars(Keys).items() if isinstance(value, property))


def _check(_: Sphinx, env: BuildEnvironment) -> None:
    text = Path(env.doc2path(PAGE)).read_text()
    for key in _keys():
        if f"| `{key}` |" not in text:
            _log.warning("orders/keys.py has the key %s, and the table of keys lacks it", key, location=PAGE)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add this to the build."""
    app.add_directive("redis-scripts", Scripts)
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True}
