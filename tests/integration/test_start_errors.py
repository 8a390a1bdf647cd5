"""What Celery's processes print if a setting is wrong: the message, and where a shop's own module fails, where."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from orders.errors import ConfigError
from tasks.start_errors import in_one_line

LEASE = "error: ORDERS_LEASE is 'soon': it must be a number of seconds above 0, at most a year\n"

FLASK = """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
from orders.contrib.flask import Orders
app = Flask(__name__)
app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///:memory:"
Orders(app, db=SQLAlchemy(app))
"""


def celery(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "celery", *arguments]
    given = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), **environment}
    return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("command", ["worker", "beat", "report", "inspect ping", "flower"])
def test_a_wrong_setting_is_one_line(tmp_path: Path, command: str) -> None:
    ran = celery(tmp_path, "-A", "tasks", *command.split(), ORDERS_LEASE="soon")
    assert (ran.returncode, ran.stderr) == (1, LEASE)


def test_a_broker_that_cannot_be_one_is_one_line(tmp_path: Path) -> None:
    ran = celery(tmp_path, "-A", "tasks", "worker", ORDERS_REDIS_URL="cluster://me:secret@one,two")
    assert (ran.returncode, len(ran.stderr.splitlines())) == (1, 1)
    assert ran.stderr.startswith("error: ORDERS_BROKER_URL is cluster://me:***@one")


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"ORDERS_HOOKS": "nosuch.hooks"}, "error: ORDERS_HOOKS names 'nosuch.hooks', but importing it failed: "),
        ({"ORDERS_APP": "nosuch"}, "error: ORDERS_APP is 'nosuch': it must be a name for `flask --app`"),
        ({"ORDERS_APP": "shop", "ORDERS_LEASE": "soon"}, LEASE),
        ({"DJANGO_SETTINGS_MODULE": "nosuch.settings"}, "error: DJANGO_SETTINGS_MODULE is 'nosuch.settings': "),
    ],
    ids=["hooks", "app", "setting of an app", "django"],
)
def test_a_name_of_nothing_is_one_line(tmp_path: Path, environment: dict[str, str], told: str) -> None:
    (tmp_path / "shop.py").write_text(FLASK)
    ran = celery(tmp_path, "-A", "tasks", "worker", **environment)
    assert ran.returncode == 1
    assert ran.stderr.startswith(told)
    assert "Traceback" not in ran.stderr


def test_an_error_in_a_module_of_the_shop_says_where(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text("import nosuch\n")
    ran = celery(tmp_path, "-A", "tasks", "worker", ORDERS_HOOKS="hooks")
    assert ran.returncode != 0
    assert 'hooks.py", line 1' in ran.stderr
    assert "ORDERS_HOOKS names 'hooks', but importing it failed: ModuleNotFoundError" in ran.stderr


def test_another_program_gets_the_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["gunicorn"])
    with pytest.raises(ConfigError, match="soon"), in_one_line():
        raise ConfigError("ORDERS_LEASE is 'soon'")
    monkeypatch.setattr("sys.argv", ["/usr/bin/celery"])
    with pytest.raises(SystemExit, match="error: ORDERS_LEASE is 'soon'"), in_one_line():
        raise ConfigError("ORDERS_LEASE is 'soon'")
