"""The deployment files, as far as they can be checked without Docker."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    services: dict[str, Any] = content["services"]
    return services


def test_the_compose_file_is_valid_by_the_compose_specification() -> None:
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", "docker-compose.yml"]
    checked = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_that_check_can_fail(tmp_path: Path) -> None:
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text("services: {redis: {imagee: redis}}")
    command = ["check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(wrong)]
    checked = subprocess.run([sys.executable, "-m", *command], capture_output=True, check=False)
    assert checked.returncode != 0


def test_nothing_is_published_beyond_loopback(services: dict[str, Any]) -> None:
    published = [port for service in services.values() for port in service.get("ports", [])]
    assert published == ["127.0.0.1:5555:5555", "127.0.0.1:8470:8470", "127.0.0.1:3000:3000"]


def test_no_service_runs_as_root_or_writes_to_its_image(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
    others = {name: service["user"] for name, service in services.items() if service["image"] != "order-expiry"}
    assert others == {"redis": "redis", "postgres": "postgres", "prometheus": "nobody", "grafana": "grafana"}


def test_monitoring_is_started_when_it_is_asked_for(services: dict[str, Any]) -> None:
    profiled = {name for name, service in services.items() if service.get("profiles") == ["monitoring"]}
    assert profiled == {"metrics", "prometheus", "grafana"}
    for name in profiled:
        for volume in services[name].get("volumes", []):
            source = volume.split(":")[0]
            assert not source.startswith(".") or (ROOT / source).exists(), source


def test_grafana_does_not_start_without_a_password(services: dict[str, Any]) -> None:
    [shell, option, script] = services["grafana"]["entrypoint"]
    check = script.replace("$$", "$").replace("exec /run.sh", "echo started")
    for password, started in (("", False), ("secret", True)):
        given = {"GF_SECURITY_ADMIN_PASSWORD": password}
        run = subprocess.run([shell, option, check], env=given, capture_output=True, text=True, check=False)
        assert (run.returncode == 0) is started
        assert ("set GRAFANA_PASSWORD" in run.stderr) is not started


def test_every_service_that_stays_up_has_a_health_check(services: dict[str, Any]) -> None:
    ours = {"init-db", "worker", "sweeper", "beat", "flower", "metrics", "page"}
    assert set(services) == {*ours, "redis", "postgres", "prometheus", "grafana"}
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"init-db"}


def test_redis_keeps_its_data_and_never_evicts(services: dict[str, Any]) -> None:
    assert "--appendonly yes" in services["redis"]["command"]
    assert "--maxmemory-policy noeviction" in services["redis"]["command"]
    assert services["redis"]["volumes"] == ["redis:/data"]


def test_flower_asks_for_a_login(services: dict[str, Any]) -> None:
    assert services["flower"]["environment"]["FLOWER_BASIC_AUTH"].startswith("${FLOWER_BASIC_AUTH:?")


def test_the_worker_can_be_scaled(services: dict[str, Any]) -> None:
    assert "container_name" not in services["worker"]
    assert "ports" not in services["worker"]


def test_the_image_runs_without_root() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    assert "USER 10001" in lines
    copied = {word for line in lines if line.startswith("COPY") for word in line.split()[1:-1]}
    assert all((ROOT / path).exists() for path in copied - {"--from=build", "/app"})


def test_the_procfile_names_worker_beat_and_flower() -> None:
    names = [line.partition(":")[0] for line in (ROOT / "Procfile").read_text().splitlines()]
    assert names == ["worker", "sweeper", "beat", "flower"]


def test_no_registry_and_no_path_of_a_machine_stands_in_the_requirements() -> None:
    for path in (ROOT / "requirements").glob("*.txt"):
        text = path.read_text()
        assert "://" not in text
        assert "--hash=sha256:" in text


@pytest.mark.parametrize(
    ("advisories", "status", "told"),
    [
        ("""{"name": "jinja2", "skip_reason": "not found"}""", 0, "NOT AUDITED"),
        ("""{"name": "jinja2", "vulns": [{"fix_versions": ["2.10.1"]}]}""", 1, "requirements/bench.txt"),
    ],
)
def test_an_audit_fails_by_what_it_finds_and_says_when_it_can_find_nothing(
    tmp_path: Path, advisories: str, status: int, told: str
) -> None:
    # given an audit that finds something in whatever it is given, if it has advisories
    (tmp_path / "pip-audit").write_text(f"#!/bin/sh\necho '{advisories}'\nexit 1\n")
    (tmp_path / "pip-audit").chmod(0o755)
    ran = subprocess.run([ROOT / ".ci" / "audit", tmp_path], capture_output=True, text=True, check=False)
    assert ran.returncode == status
    assert told in ran.stdout + ran.stderr
