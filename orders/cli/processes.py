"""Celery processes, run as children of a command."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from orders import names

STOP_TIMEOUT = 20.0
"""Seconds that a process may take to stop before it is killed."""


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a child process: ours with these settings, and this Python's commands first on PATH."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    return {**os.environ, **settings, "PATH": path, "PYTHONUNBUFFERED": "1"}


def celery(arguments: str, *, settings: Mapping[str, str], log: Path, folder: Path) -> subprocess.Popen[bytes]:
    """Start ``celery -A tasks …``, and append its output to a log file."""
    command = [sys.executable, "-m", "celery", "-A", names.TASKS, *arguments.split()]
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - no part of the command is user input
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment(settings),
            cwd=folder,
            start_new_session=True,  # Ctrl-C reaches only the command, which stops its children in order
        )


def stop(*processes: subprocess.Popen[bytes]) -> None:
    """Terminate all processes at once, and wait until they stop."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
