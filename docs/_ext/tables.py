"""Tables on a phone: a cell knows the head of its column, so that ``site.css`` can show a row as a paragraph."""

from __future__ import annotations

from typing import Any, Final

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata
from sphinx.writers.html5 import HTML5Translator

_COLUMNS: Final = 3
"""A table with fewer columns fits."""


class LabelCells(SphinxPostTransform):
    """Marks tables of text as ``stacked``, and their cells with the heads. Tables of numbers scroll."""

    default_priority = 900  # after links in the heads have been resolved

    def run(self, **_: Any) -> None:
        """Label the cells."""
        for table in self.document.findall(nodes.table):
            heads = [head for thead in table.findall(nodes.thead) for head in thead.findall(nodes.entry)]
            numbers = [head for head in heads if "text-right" in head["classes"]]
            if len(heads) < _COLUMNS or len(numbers) * 2 > len(heads):
                continue
            table["classes"].append("stacked")
            for row in (row for tbody in table.findall(nodes.tbody) for row in tbody.findall(nodes.row)):
                for head, entry in zip(heads[1:], row.children[1:], strict=True):
                    entry["label"] = head.astext()  # type: ignore[index]  # typed as a node that may be text


class Translator(HTML5Translator):
    """Writes the labels."""

    def starttag(self, node: Any, tagname: str, suffix: str = "\n", empty: bool = False, **attributes: Any) -> str:  # noqa: FBT001, FBT002  # docutils's signature
        """Add the label of a cell to its tag."""
        if isinstance(node, nodes.entry) and node.get("label"):
            attributes["data-label"] = node["label"]
        return super().starttag(node, tagname, suffix, empty, **attributes)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_post_transform(LabelCells)
    app.set_translator("html", Translator)
    return {"parallel_read_safe": True}
