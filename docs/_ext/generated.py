"""A directive whose content is made from the code: what it makes is read as Markdown, where it stands."""

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
    """A directive without arguments. A kind of it says what Markdown it stands for."""

    sources: ClassVar[Sequence[Path]] = ()
    """The files that it is made from: when one changes, the page is made anew."""

    @abstractmethod
    def markdown(self) -> str:
        """Return what stands in its place."""

    def run(self) -> list[nodes.Node]:
        """Read it."""
        for source in self.sources:
            self.env.note_dependency(str(source))
        parsed = self.parse_text_to_nodes(self.markdown(), allow_section_headings=True)
        for made in (made for node in parsed for made in node.findall(nodes.table)):
            made["classes"].append("generated")  # see site.css
        return parsed

    def complain(self, message: str) -> None:
        """Say what is missing in the code, which ends a strict build."""
        _log.warning(message, location=self.get_location(), type="generated")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)
