"""Habits that no linter checks: short files, short functions, and a reason for each check that is switched off."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PLACES = ("orders", "tasks", "tests", "benchmarks", "examples", "docs")

LINES_OF_A_FILE, LINES_OF_A_FUNCTION = 300, 40

SWITCHED_OFF = re.compile(r"# (?:noqa|type: ignore)")

REASON = re.compile(r" - \S|# (?!noqa|type: ignore)\S")


def files(*places: str) -> list[Path]:
    return sorted(path for place in places for path in (ROOT / place).rglob("*.py"))


def functions(source: str) -> Iterator[tuple[str, int]]:
    """Yield the name of each function, and how many lines it has without its docstring."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            docstring = ast.get_docstring(node, clean=False)
            yield node.name, node.end_lineno - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)


@pytest.mark.parametrize("place", PLACES)
def test_files_and_functions_are_short(place: str) -> None:
    found = {path.relative_to(ROOT): path.read_text() for path in files(place)}
    assert found
    assert {path: lines for path, text in found.items() if (lines := text.count("\n")) > LINES_OF_A_FILE} == {}
    assert {
        (path, name): lines
        for path, text in found.items()
        for name, lines in functions(text)
        if lines > LINES_OF_A_FUNCTION
    } == {}


def test_a_check_is_switched_off_for_a_reason() -> None:
    comments = [
        (f"{path.relative_to(ROOT)}:{token.start[0]}", token.string)
        for path in files("orders", "tasks")
        for token in tokenize.generate_tokens(StringIO(path.read_text()).readline)
        if token.type == tokenize.COMMENT and SWITCHED_OFF.search(token.string)
    ]
    assert comments
    assert [(place, comment) for place, comment in comments if not REASON.search(comment)] == []
