"""Directive ``commands``: the command line, as Typer tells it."""

from __future__ import annotations

import re

from generated import ROOT, Generated
from sphinx.application import Sphinx
from sphinx.util.typing import ExtensionMetadata
from typer import Context
from typer.cli import get_docs_for_click
from typer.main import get_command

from orders.cli import app as orders


class Commands(Generated):
    """Every command with its arguments and options."""

    sources = tuple(sorted((ROOT / "orders" / "cli").rglob("*.py")))

    def markdown(self) -> str:
        """Return what ``typer orders.cli utils docs`` prints, without its title, under a page that has one."""
        command = get_command(orders)
        told = get_docs_for_click(obj=command, ctx=Context(command), name="orders")
        body = told.partition("\n**Usage**:")[2].replace("**Usage**:\n\n", "")
        commands = body[body.index("\n## ") :]
        return re.sub(r"\* `--help`: .*\n", "", commands).replace("**Options**:\n\n\n", "")


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add this to the build."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True}
