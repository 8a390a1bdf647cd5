"""The systemd units, as far as they can be checked where systemd does not run."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from orders.config.settings import PREFIX, Settings
from tests.deployment.manifests import BIN, UNITS, environment_file, unit

SERVICES = sorted(path.name for path in UNITS.glob("*.service"))

Verify = Callable[[Sequence[Path]], str]


@pytest.fixture(scope="module")
def verify() -> Verify:
    """Return what checks units, and returns what is wrong with them."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        assert not os.environ.get("CI"), "systemd-analyze is missing"
        pytest.skip("systemd-analyze is not installed")
    found: str = analyze

    def run(units: Sequence[Path]) -> str:
        checked = subprocess.run([found, "verify", *units], capture_output=True, text=True, check=False)
        return checked.stdout + checked.stderr

    return run


def _written(folder: Path) -> list[Path]:
    """Write the units, with an instance of each template and with commands that there are."""
    for path in UNITS.glob("order-expiry*"):
        text = path.read_text().replace("/opt/order-expiry/bin", str(BIN))
        (folder / path.name.replace("@", "@1")).write_text(text)
    return sorted(folder.iterdir())


def test_systemd_accepts_the_units(verify: Verify, tmp_path: Path) -> None:
    units = _written(tmp_path)
    assert len(units) == 6
    assert verify(units) == ""


def test_that_check_can_fail(verify: Verify, tmp_path: Path) -> None:
    wrong = tmp_path / "order-expiry-beat.service"
    wrong.write_text((UNITS / wrong.name).read_text().replace("NoNewPrivileges", "NoNewPriviledges"))
    assert "NoNewPriviledges" in verify([wrong])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_rights_that_it_does_not_need(name: str) -> None:
    told = unit(name)
    assert told["User"] == ["order-expiry"]
    assert told["NoNewPrivileges"] == ["yes"]
    assert told["CapabilityBoundingSet"] == [""]
    assert told["ProtectSystem"] == ["strict"]
    assert told["SystemCallFilter"] == ["@system-service", "~@privileged @resources"]
    assert "ProcSubset" not in told  # Celery asks for the load, which is not in a process's part of /proc


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_comes_back(name: str) -> None:
    assert unit(name)["Restart"] == ["always"]
    assert unit(name)["PartOf"] == ["order-expiry.target"]


def test_workers_are_given_time_to_hand_back_what_they_hold() -> None:
    for name in ("order-expiry-worker@.service", "order-expiry-sweeper@.service"):
        assert unit(name)["TimeoutStopSec"] == ["30"]
        assert unit(name)["KillMode"] == ["mixed"]


def test_flower_and_metrics_listen_on_loopback_only() -> None:
    [flower] = unit("order-expiry-flower.service")["ExecStart"]
    [metrics] = unit("order-expiry-metrics.service")["ExecStart"]
    assert " --address=127.0.0.1 " in flower
    assert " --host 127.0.0.1 " in metrics


def test_flower_does_not_start_without_a_login() -> None:
    [line] = unit("order-expiry-flower.service")["ExecStartPre"]
    script = line.removeprefix("/bin/sh -c '").removesuffix("'").replace("$$", "$")
    refused = subprocess.run(["/bin/sh", "-c", script], env={}, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "set user:password" in refused.stderr
    given = {"FLOWER_BASIC_AUTH": "oncall:secret"}
    assert subprocess.run(["/bin/sh", "-c", script], env=given, check=False).returncode == 0


def test_the_example_of_the_environment_holds_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_file().items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert settings.database_url.endswith("@postgres.internal:5432/shop")
    given = {f"{PREFIX}{name.upper()}" for name in settings.model_fields_set}
    assert given == {name for name in environment_file() if name.startswith(PREFIX)}
