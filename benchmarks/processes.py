"""Child processes: each with its log in a file, its CPU time counted, and stopped by its pid."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from orders.config.settings import PREFIX

STOP_TIMEOUT = 15.0
"""Seconds that a process may take to stop before it and its children are killed."""

ROOT = Path(__file__).parents[1]
"""Where the package `benchmarks` is importable from."""


def start(command: Sequence[str | Path], *, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a process in the folder of its log, in a session of its own.

    Args:
        command: the program and its arguments.
        log: the file that its output is appended to.
        environment: variables besides ours. Those of the project (``ORDERS_…``) are not inherited.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - nothing in it comes from outside
            list(map(str, command)),
            cwd=log.parent,
            env={**inherited, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@contextmanager
def stopped_at_end(processes: Sequence[subprocess.Popen[bytes]]) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
    """Yield processes; at the end ask all to stop (SIGTERM), and kill those that do not, with their children."""
    try:
        yield processes
    finally:
        families = {process.pid: family(process.pid) for process in processes}
        for process in processes:
            process.terminate()
        for process in processes:
            try:
                process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            kill(families[process.pid])


def kill(members: Iterable[psutil.Process]) -> None:
    """Kill those that still run: psutil knows a process by its start time too, so no other is hit."""
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.kill()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; none if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds, user and system, that these processes and their descendants have used so far.

    Descendants that have ended and were waited for are included: Linux adds their time to their parent's.
    """
    seconds = 0.0
    for pid in pids:
        for member in family(pid):
            with suppress(psutil.NoSuchProcess):
                seconds += sum(member.cpu_times()[:4])  # user, system, children's user, children's system
    return seconds
