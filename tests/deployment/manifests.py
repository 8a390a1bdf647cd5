"""The deployment files, as what they start: commands, their environment, their probes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy" / "systemd"
KUBERNETES = ROOT / "deploy" / "kubernetes"
BIN = Path(sys.executable).parent
"""Where our commands are; the units have ``/opt/order-expiry/bin``."""

Manifest = dict[str, Any]


def compose() -> dict[str, Manifest]:
    """Return the services of the compose file."""
    content: Manifest = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return dict(content["services"])


def resources() -> list[Manifest]:
    """Return all that Kubernetes is to have, but for what Kustomize makes."""
    files: list[str] = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())["resources"]
    return [each for name in files for each in yaml.safe_load_all((KUBERNETES / name).read_text())]


def pods() -> dict[str, Manifest]:
    """Return what each Deployment says of its pods."""
    return {
        str(each["metadata"]["name"]): each["spec"]["template"]["spec"]
        for each in resources()
        if each["kind"] == "Deployment"
    }


def containers() -> dict[str, Manifest]:
    """Return the container of each Deployment."""
    return {name: pod["containers"][0] for name, pod in pods().items()}


def literals() -> dict[str, str]:
    """Return what the ConfigMap puts into the environment."""
    content = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())
    return dict(given.split("=", 1) for given in content["configMapGenerator"][0]["literals"])


def unit(name: str) -> dict[str, list[str]]:
    """Return the lines of a unit, by key."""
    lines: dict[str, list[str]] = {}
    for line in (UNITS / name).read_text().splitlines():
        if line and line[0] not in "#[":
            key, _, value = line.partition("=")
            lines.setdefault(key, []).append(value)
    return lines


def exec_start(name: str, instance: str = "1") -> list[str]:
    """Return the command of a unit, as systemd would run it for this instance, with our commands."""
    [line] = unit(name)["ExecStart"]
    expanded = line.replace("%i", instance).replace("%%", "%").replace("/opt/order-expiry/bin", str(BIN))
    return shlex.split(expanded)


def environment_file() -> dict[str, str]:
    """Return what the example of the units' environment file sets."""
    lines = (UNITS / "environment.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
