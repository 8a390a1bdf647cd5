"""Folders: a code forge shows them, and a site does not."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.typing import ExtensionMetadata

SECTIONS: Final = {"docs/adr/README": "[0-9]*"}
"""A page that lists the others of its folder → what stands under it in the navigation."""


class LinksToFolders(SphinxPostTransform):
    """A link to a folder that exists is shown without its link; to one that does not, it is an error as any other."""

    default_priority = 8  # before MyST's own resolver, which knows files only

    def run(self, **_: Any) -> None:
        """Replace such links by what they enclose."""
        folder = Path(self.env.doc2path(self.env.docname)).parent
        for link in list(self.document.findall(pending_xref)):
            if link["reftype"] == "myst" and (folder / link["reftarget"]).is_dir():
                link.replace_self(link.children)


def _add_contents(_: Sphinx, page: str, text: list[str]) -> None:
    if page in SECTIONS:
        text[0] += f"\n```{{toctree}}\n:hidden:\n:glob:\n\n{SECTIONS[page]}\n```\n"


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add this to the build."""
    app.add_post_transform(LinksToFolders)
    app.connect("source-read", _add_contents)
    return {"parallel_read_safe": True}
