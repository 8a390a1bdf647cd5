"""Register the tasks with `tasks.app`, and for `tasks.install` in other apps."""

from collections.abc import Callable
from typing import Any

from tasks.app import app

TASKS: list[tuple[Callable[..., Any], dict[str, Any]]] = []
"""The function of each task, with its options."""


def task(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Register a task with our app, like ``@app.task``, and add it to `TASKS`."""

    def register(function: Callable[..., Any]) -> Any:
        TASKS.append((function, options))
        return app.task(**options)(function)

    return register
