"""A part of the tests, under the second name."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from hatch_build import rewrite
from tests.acceptance.second_name.conftest import Installed

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[3]

PART = """
    unit/test_config.py unit/test_guarding.py unit/test_hooks.py unit/test_intake.py
    integration/schedule integration/store integration/test_expiry.py
    contrib/django/test_conf.py contrib/django_admin/test_admin.py
    contrib/django_admin/test_command.py contrib/flask/test_cli.py
"""

LEFT_OUT = "not postgresql and not mariadb and not sqlite-django"
"""Tests of what the name does not change, with servers that take long to start."""

NAMES = (
    (r'"orders(?=\.(?:contrib|cli|expiry|schedule|store|process|operate|config)\b)', '"order_expiry'),
    (r'"tasks(?=\.worker\b)', '"order_expiry.tasks'),
    (r'((?:logger=|logging\.INFO, |"INFO", )")orders\b', r"\1order_expiry"),
    (r'"`orders"', '"`order-expiry"'),
)
"""Modules and commands that the tests name in texts."""


def test_a_part_of_the_tests_passes_under_the_second_name(installed: Installed, tmp_path: Path) -> None:
    # given the tests, rewritten as the code is
    shutil.copytree(ROOT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path in (tmp_path / "tests").rglob("*.py"):
        text = rewrite(path.read_text())
        for name, substitute in NAMES:
            text = re.sub(name, substitute, text)
        path.write_text(text)
    # when they run beside the wheel
    files = [f"tests/{file}" for file in PART.split()]
    ran = installed.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", LEFT_OUT, *files, cwd=tmp_path)
    # then they pass, and there were many
    assert ran.returncode == 0, ran.stdout[:9000] + ran.stdout[-5000:]
    assert int(re.findall(r"(\d+) passed", ran.stdout)[0]) > 200
