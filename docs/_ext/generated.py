"""Base class of directives that generate Markdown from the code."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import ClassVar, Final

from docutils import nodes
from sphinx.util.docutils import SphinxDirective
from sphinx.util.logging import getLogger

ROOT: Final = Path(__file__).parents[2]

_log = getLogger(__name__)


class Generated(SphinxDirective):
    """A directive without arguments. Each subclass returns the Markdown that replaces it."""

    sources: ClassVar[Sequence[Path]] = ()
    """The files that it reads. Sphinx rebuilds the page when one of them changes."""

    @abstractmethod
    def markdown(self) -> str:
        """Return the Markdown that replaces the directive."""

    def run(self) -> list[nodes.Node]:
        """Parse the Markdown."""
        for source in self.sources:
            self.env.note_dependency(str(source))
        parsed = self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)
        for made in (made for node in parsed for made in node.findall(nodes.table)):
            made["classes"].append("generated")  # see site.css
        return parsed

    def complain(self, message: str) -> None:
        """Warn that something is missing in the code. A strict build fails."""
        _log.warning(message, location=self.get_location(), type="generated")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
