"""Links to folders, which work on a code forge but not on the site."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata

SECTIONS: Final = {"docs/adr/README": "[0-9]*"}
"""A page that lists the others in its folder → a pattern of the pages below it in the navigation."""


class LinksToFolders(SphinxPostTransform):
    """Shows a link to an existing folder as plain text. A link to a missing folder stays an error."""

    default_priority = 8  # before MyST's own resolver, which only knows files

    def run(self, **_: Any) -> None:
        """Replace these links with their content."""
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(self.document.findall(pending_xref)):
            if link["reftype"] == "myst" and (folder / link["reftarget"]).is_dir():
                link.replace_self(link.children)


def _add_contents(_: Sphinx, page: str, text: list[str]) -> None:
    if page in SECTIONS:
        text[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{SECTIONS[page]}\n```\n"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_post_transform(LinksToFolders)
    app.connect("source-read", _add_contents)
    return {"parallel_read_safe": True}
