"""The tasks, for our own app and for apps of shops' own."""

from collections.abc import Callable
from typing import Any

from tasks.app import app

TASKS: list[tuple[Callable[..., Any], dict[str, Any]]] = []
"""Each function with the options of its task."""


def task(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register a task with our own app, as ``@app.task`` does, and remember it for `tasks.installation.install`."""
    if "base" not in options:
        options["Request"] = "tasks.worker.events:MaskedRequest"

    def register(function: Callable[..., Any]) -> Any:
        TASKS.append((function, options))
        return app.task(**options)(function)

    return register
