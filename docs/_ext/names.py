"""Python names in docstrings and signatures: checks that each is documented or at least exists.

Sphinx links names that a page documents. In a strict build any other name is an error, unless it is on a list of
exceptions. This extension looks such names up in the code instead. A name that exists is shown without a link; a name
that does not exist fails the build.
"""

from __future__ import annotations

import ast
import builtins
from functools import cache, reduce
from importlib import import_module
from typing import Any, cast

from docutils.nodes import Element, TextElement
from generated import ROOT
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.napoleon import Config
from sphinx.ext.napoleon.docstring import GoogleDocstring
from sphinx.util.typing import ExtensionMetadata


def _show(_app: Sphinx, _env: BuildEnvironment, node: pending_xref, content: TextElement) -> Element | None:
    """Return the text for a name that no page documents; None if the name does not exist."""
    if node.get("refdomain") != "py":
        return None
    target, module, klass = node["reftarget"], node.get("py:module"), node.get("py:class")
    paths = [target, f"{module}.{target}", f"{module}.{klass}.{target}"]
    return content if target.partition(".")[0] in _known() or any(_exists(path) for path in paths) else None


@cache
def _exists(path: str) -> bool:
    """Return whether a module, class or any other object has this full name."""
    names = path.split(".")
    if hasattr(builtins, names[0]):
        return True
    for count in range(len(names), 0, -1):
        try:
            reduce(getattr, names[count:], import_module(".".join(names[:count])))
        except (ImportError, AttributeError):
            continue
        return True
    return False


@cache
def _known() -> frozenset[str]:
    """Return the names that modules import, and their type aliases: mypy checks these."""
    names = set()
    for module in (ROOT / "orders").rglob("*.py"):
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.alias):
                names.add(node.asname or node.name)
            elif isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation) == "TypeAlias":
                names.add(ast.unparse(node.target))
    return frozenset(names)


def _read(_app: Sphinx, kind: str, name: str, described: object, options: Any, lines: list[str]) -> None:
    """Convert a docstring from Google style, as Sphinx's own extension does.

    Unlike that extension, do not read the text before a colon as a type: "It was paid before: the callback …".
    Types are in the code.
    """
    config, place = (
        Config(napoleon_use_rtype=False),
        kind if kind not in {"attribute", "data", "property"} else "object",
    )
    lines[:] = GoogleDocstring(lines, cast("Any", config), None, cast("Any", place), name, described, options).lines()


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.connect("missing-reference", _show)
    app.connect("autodoc-process-docstring", _read)
    return {"parallel_read_safe": True}
