"""What people search for, named where it is explained.

``<!-- search: redis down, redis outage -->`` below a heading puts these words into the index of the site, and so to the
top of the results. A code forge shows nothing of it. ``search.js`` orders the other results.
"""

from __future__ import annotations

import re
from typing import Any, Final

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.typing import ExtensionMetadata

_WORDS: Final = re.compile(r"<!-- search: ([^>]+) -->\s*")


class SearchWords(SphinxTransform):
    """Replaces these comments by entries of the index that lead to their section."""

    default_priority = 700

    def apply(self, **_: Any) -> None:
        """Replace them."""
        for comment in list(self.document.findall(nodes.raw)):
            if found := _WORDS.fullmatch(comment.astext()):
                section = comment.parent
                [anchor, *_others] = section["ids"]
                words = found[1].split(", ")
                entries = [("single", word, anchor, "main", None) for word in words]
                comment.replace_self(addnodes.index(entries=entries))


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.add_transform(SearchWords)
    return {"parallel_read_safe": True}
