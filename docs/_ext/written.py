"""Checks that tables written by hand, for readers on a code forge, list everything that the code has."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.logging import getLogger
from sphinx.util.typing import ExtensionMetadata

from orders.cli import VERBS
from orders.config.settings import PREFIX, Settings
from orders.schedule.keys import Keys

_log = getLogger(__name__)


def _expected() -> Iterator[tuple[str, str]]:
    """Yield a page, and the beginning of a row that one of its tables must have."""
    yield from (("docs/reference/settings", f"| `{PREFIX}{name.upper()}` |") for name in Settings.model_fields)
    yield from (("docs/reference/cli", f"| `orders {verb}") for verb in VERBS)
    keys = Keys("orders")
    names = [keys.schedule, *(getattr(keys, name) for name, value in vars(Keys).items() if isinstance(value, property))]
    yield from (("docs/reference/redis", f"| `{name}` |") for name in names)


def _check(_: Sphinx, env: BuildEnvironment) -> None:
    for page, row in _expected():
        if row not in Path(env.doc2path(page)).read_text():
            _log.warning("no row of a table begins with: %s", row, location=page)


def setup(app: Sphinx) -> ExtensionMetadata:
    """Register the extension."""
    app.connect("env-check-consistency", _check)
    return {"parallel_read_safe": True}
