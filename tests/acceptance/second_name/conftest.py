"""The wheel in an environment of its own, and a Django project that has an app `orders`, `tasks` and `celeryconfig`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from orders.embedded import EmbeddedRedis


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return this environment with these settings, and without the folders that only the tests need."""
    return {**{name: value for name, value in os.environ.items() if name != "PYTHONPATH"}, **settings}


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and with the other packages of this one."""

    folder: Path

    @property
    def packages(self) -> Path:
        return Path(sysconfig.get_path("purelib", vars={"base": str(self.folder)}))

    def run(self, *command: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment, such as ``python``."""
        program, *arguments = command
        return subprocess.run(
            [str(self.folder / "bin" / program), *arguments],
            cwd=cwd,
            env=environment(settings),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    installed = Installed(tmp_path_factory.mktemp("environment"))
    venv.create(installed.folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--python", str(installed.folder / "bin" / "python"), "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True, capture_output=True)
    # A path in a .pth file does not bring that folder's own .pth files, of which one names this checkout.
    (installed.packages / "others.pth").write_text(sysconfig.get_path("purelib"))
    return installed


@dataclass(frozen=True)
class Project:
    """The shop, in a folder of its own."""

    installed: Installed
    folder: Path
    redis_url: str

    @property
    def settings(self) -> dict[str, str]:
        return {"DJANGO_SETTINGS_MODULE": "vases.settings", "SHOP_REDIS_URL": self.redis_url}

    def run(self, *command: str, **settings: str) -> str:
        """Run a command in the shop's folder, and return what it printed."""
        ran = self.installed.run(*command, cwd=self.folder, **{**self.settings, **settings})
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def fail(self, *command: str, **settings: str) -> str:
        """Run a command that must fail, and return its error."""
        ran = self.installed.run(*command, cwd=self.folder, **{**self.settings, **settings})
        assert ran.returncode != 0, ran.stdout + ran.stderr
        return ran.stderr


@pytest.fixture
def project(installed: Installed, redis_server: EmbeddedRedis, redis: object, tmp_path: Path) -> Project:
    folder = tmp_path / "shop"
    shutil.copytree(Path(__file__).parent / "shop", folder, ignore=shutil.ignore_patterns("__pycache__"))
    return Project(installed, folder, redis_server.url)
