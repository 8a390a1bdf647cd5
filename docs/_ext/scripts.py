"""Directive ``redis-scripts``: the headers of the Lua scripts."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path
from typing import Final

from generated import ROOT, Generated
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata

_SCRIPTS: Final = ROOT / "orders" / "schedule" / "lua"


class Scripts(Generated):
    """A section for each script: what it does, its ``KEYS``, its ``ARGV`` and its return value."""

    sources = tuple(sorted(_SCRIPTS.glob("*.lua")))

    def markdown(self) -> str:
        """Return a section for each script."""
        return "\n\n".join(self._section(script) for script in self.sources)

    def _section(self, script: Path) -> str:
        summary, _, contract = _header(script).partition("\nKEYS ")
        if not re.search(r"^ARGV |^Returns ", contract, re.MULTILINE):
            self.complain(f"orders/schedule/lua/{script.name}: its header lacks KEYS, ARGV or Returns")
        lines = re.sub(r" {3,}(?=\d)", "\n      ", f"KEYS {contract.strip()}")
        return f"### `{script.name}`\n\n{summary.strip()}\n\n```text\n{lines}\n```"


def _header(script: Path) -> str:
    lines = takewhile(lambda line: line.startswith("--"), script.read_text().splitlines())
    return "\n".join(line.removeprefix("--").removeprefix(" ") for line in lines)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_directive("redis-scripts", Scripts)
    return {"parallel_read_safe": True}
