"""What is installed for this run: the wheel, and environments of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def install(folder: Path, lock: str, wheel: Path) -> Path:
    """Return the commands of a new environment with what is pinned in ``requirements/``, and with the wheel.

    If that cannot be had, the test is skipped; with ``CI=true`` it fails.
    """
    venv.create(folder, symlinks=True)
    _install(folder / "bin" / "python", "--require-hashes", "-r", str(ROOT / "requirements" / lock))
    _install(folder / "bin" / "python", "--no-deps", str(wheel))
    return folder / "bin"


def _install(python: Path, *what: str) -> None:
    # As in the Makefile: uv takes a quarter of pip's time, but does not know an index that only pip is configured with.
    uv = [str(Path(sys.executable).with_name("uv")), "pip", "install", "--python", str(python)]
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install"]
    for installer in (uv, pip):
        ran = subprocess.run([*installer, "--quiet", *what], capture_output=True, text=True, check=False)
        if ran.returncode == 0:
            return
    assert not os.environ.get("CI"), ran.stderr
    pytest.skip(f"cannot be installed: {ran.stderr.strip().splitlines()[-1]}")
