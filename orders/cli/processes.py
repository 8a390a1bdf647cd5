"""Celery's processes, as children of a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

STOP_TIMEOUT = 20.0
"""Seconds that a process may take to stop before it is killed."""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child: ours, these settings, and this Python's commands first on PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, **settings, "PATH": path, "PYTHONUNBUFFERED": "1"}


def celery(arguments: str, *, settings: Mapping[str, str], log: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start ``celery -A tasks …`` with its log in a file."""
    command = [sys.executable, "-m", "celery", "-A", "tasks", *arguments.split()]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(settings),
            cwd=folder,
            start_new_session=True,  # Ctrl-C is for the command, which stops them in order
        )


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """Ask processes to stop, all at once, and wait until they have."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
