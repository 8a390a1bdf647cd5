"""The table in CONTRIBUTING.md lists the canaries, and each private attribute that the code uses has one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.canaries.canary import CANARIES, Canary, canary

ROOT = Path(__file__).parents[2]

for _file in Path(__file__).parent.glob("test_*.py"):
    import_module(f"{__package__}.{_file.stem}")

PRIVATE = re.compile(r"\w\.(_[a-z]\w*).*# noqa: .*SLF001|getattr\([^()]+, \"(_[a-z]\w*)\"")
"""Uses of a private attribute: behind a noqa, or in getattr, which ruff does not see."""


def table() -> Iterator[Canary]:
    """Yield the rows of the table."""
    text = (ROOT / "CONTRIBUTING.md").read_text().partition("## Private parts of others")[2].partition("\n## ")[0]
    for line in text.splitlines():
        if line.startswith("| ") and "::" in line:
            library, name, used_in, test = (cell.strip() for cell in line.strip("|").split(" | "))
            yield Canary(library, name.strip("`"), tuple(re.findall(r"`([^`]+)`", used_in)), test.strip("`"))


def test_the_table_lists_the_canaries() -> None:
    listed, there = list(table()), set(CANARIES)
    assert set(listed) - there == set(), "rows without such a canary"
    assert there - set(listed) == set(), "canaries without such a row"
    assert len(listed) == len(set(listed))


@pytest.mark.parametrize("each", CANARIES, ids=lambda each: f"{each.library}: {each.name}")
def test_what_a_canary_watches_is_used(each: Canary) -> None:
    words = set(re.findall(r"[A-Za-z_]\w{3,}", each.name))
    for path in each.used_in:
        assert words & set(re.findall(r"\w+", (ROOT / path).read_text())), f"{path} uses nothing of {each.name}"


def test_each_private_attribute_that_we_use_has_a_canary() -> None:
    used = {
        (str(path.relative_to(ROOT)), name)
        for package in ("orders", "tasks")
        for path in (ROOT / package).rglob("*.py")
        for names in PRIVATE.findall(path.read_text())
        for name in names
        if name
    }
    assert used
    watched = {(path, name) for each in CANARIES for path in each.used_in for name in re.findall(r"\w+", each.name)}
    assert used - watched == set()


def test_a_canary_says_what_is_gone() -> None:
    @canary("birds", "Canary.sing", "mine.py")
    def falls_silent() -> None:
        object().sing()  # type: ignore[attr-defined]

    CANARIES.pop()
    with pytest.raises(AssertionError, match=r"Canary\.sing is gone or has changed, and it is used in mine\.py"):
        falls_silent()
