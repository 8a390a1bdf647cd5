"""Runs a command of ``orders`` in this process."""

from __future__ import annotations

import inspect
from typing import Any

from typer.testing import CliRunner, Result

from orders.cli import app

# Click before 8.2 keeps standard error apart only when it is asked to.
_APART: dict[str, Any] = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}


def run(*arguments: str) -> Result:
    return CliRunner(**_APART).invoke(app, arguments, catch_exceptions=False)
