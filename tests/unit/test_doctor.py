"""What the doctor may find, and what the documentation says of it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = [*(ROOT / "orders" / "operate" / "doctor").glob("about_*.py"), ROOT / "tasks" / "checks.py"]


def test_each_finding_is_explained() -> None:
    found = {
        name
        for path in SOURCES
        for name in re.findall(r'"((?:redis|database|schedule|settings|celery)\.\w+)"', path.read_text())
    }
    told = re.findall(r"^### (\S+)$", (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(found)
    assert len(found) == 32
