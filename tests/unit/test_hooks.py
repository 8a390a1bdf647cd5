"""Where hooks are found, and how many of a kind there may be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orders import hooks
from orders.errors import ConfigError
from orders.hooks import Hooks


def test_hooks_are_found_by_their_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "found_hooks.py").write_text("FOUND = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    hooks.load(["found_hooks"])


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (None, "ModuleNotFoundError: No module named 'broken_hooks'"),
        ("import no_such_library", "No module named 'no_such_library'"),
        ("1 / 0", "ZeroDivisionError"),
    ],
    ids=["missing", "needs another", "fails"],
)
def test_a_module_that_cannot_be_imported_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, told: str
) -> None:
    if source is not None:
        (tmp_path / "broken_hooks.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=rf"ORDERS_HOOKS names 'broken_hooks', but importing it failed: .*{told}"):
        hooks.load(["broken_hooks"])


@pytest.mark.parametrize("decorator", ["guard", "on_late_payment", "deadline_rule"])
def test_there_is_one_guard_one_policy_and_one_rule(decorator: str) -> None:
    registered = Hooks()

    def first(*_: object) -> Any: ...

    def second(*_: object) -> Any: ...

    getattr(registered, decorator)(first)
    getattr(registered, decorator)(first)
    with pytest.raises(
        ConfigError, match=rf"@orders.{decorator} takes one function: .*first is already registered, so .*second"
    ):
        getattr(registered, decorator)(second)
