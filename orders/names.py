"""The two names of this package: `orders`, and `order_expiry` for a shop that has a package `orders` of its own.

A wheel contains the code under both names (``hatch_build.py``), as two packages with hooks, settings and classes of
their own. A process may import one of them: importing the other one raises an `ImportError`.
"""

from __future__ import annotations

import sys
from traceback import walk_stack

DISTRIBUTION = "order-expiry"
"""What a module of this name in another package does not have."""

NAME = __name__.partition(".")[0]
"""The name in use."""

OTHER = "order_expiry" if NAME == "orders" else "orders"

TASKS, CELERYCONFIG = ("tasks", "celeryconfig") if NAME == "orders" else (f"{NAME}.tasks", f"{NAME}.celeryconfig")
"""The modules of the Celery app and of its settings."""

COMMAND = "orders" if NAME == "orders" else DISTRIBUTION
"""The name of the command."""


def _importer() -> str:
    """Return the file and the line that import this package."""
    for frame, line in walk_stack(None):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in {NAME, "importlib", "_frozen_importlib", "_frozen_importlib_external"}:
            return f"{frame.f_code.co_filename}, line {line}"
    return "an unknown place"


IMPORTED_BY = _importer()
"""Where this package was imported first."""

_other = sys.modules.get(f"{OTHER}.names") if OTHER in sys.modules else None
if getattr(_other, "DISTRIBUTION", None) == DISTRIBUTION:
    raise ImportError(
        f"order-expiry is in use as `{OTHER}`, imported by {getattr(_other, 'IMPORTED_BY', '?')}. It cannot be "
        f"imported as `{NAME}` too, because neither would have the hooks of the other. Use one name in all imports, in "
        "INSTALLED_APPS and in commands: `order_expiry` with order-expiry and celery --app=order_expiry.tasks, or "
        "`orders` with orders and celery --app=tasks",
        name=NAME,
    )
