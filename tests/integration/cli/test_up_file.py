"""Where `orders up` says where its servers are, and who believes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orders.cli import up_file
from orders.errors import EmbeddedError

URL = "redis://:se'cret@127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in up_file.VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_the_servers_are_used_while_it_runs(capsys: pytest.CaptureFixture[str]) -> None:
    with up_file.locked(up_file.FOLDER), up_file.written(up_file.FOLDER, {"ORDERS_REDIS_URL": URL, "OTHER": "x"}):
        up_file.use()
        assert os.environ["ORDERS_REDIS_URL"] == URL
        assert capsys.readouterr().err == "using ORDERS_REDIS_URL of the `orders up` that runs here (.orders/up.env)\n"
        with pytest.raises(EmbeddedError, match="another `orders up` uses the folder"), up_file.locked(up_file.FOLDER):
            pass
    assert up_file.read(up_file.FOLDER) == {}


def test_what_the_environment_names_is_used_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ORDERS_REDIS_URL", "redis://redis.example/0")
    with (
        up_file.locked(up_file.FOLDER),
        up_file.written(up_file.FOLDER, {"ORDERS_REDIS_URL": URL, "ORDERS_DATABASE_URL": "sqlite://"}),
    ):
        up_file.use()
    assert os.environ["ORDERS_REDIS_URL"] == "redis://redis.example/0"
    assert "ORDERS_DATABASE_URL" not in os.environ
    assert capsys.readouterr().err == ""


def test_what_a_killed_one_left_behind_is_not_used() -> None:
    with up_file.locked(up_file.FOLDER), up_file.written(up_file.FOLDER, {"ORDERS_REDIS_URL": URL}) as path:
        left = path.read_text()
        assert path.stat().st_mode & 0o777 == 0o600
    path.write_text(left)
    assert up_file.read(up_file.FOLDER) == {}


def test_the_file_of_another_user_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with up_file.locked(up_file.FOLDER), up_file.written(up_file.FOLDER, {"ORDERS_REDIS_URL": URL}):
        assert up_file.read(up_file.FOLDER) == {"ORDERS_REDIS_URL": URL}
        monkeypatch.setattr(os, "geteuid", lambda: 4242)
        assert up_file.read(up_file.FOLDER) == {}
