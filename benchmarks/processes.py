"""Child processes: each writes its log to a file, has its CPU time counted, and is stopped by its pid."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from orders.config.settings import PREFIX

STOP_TIMEOUT = 15.0
"""Seconds that a process has to stop before it and its children are killed."""

ROOT = Path(__file__).parents[1]
"""The folder from which the package `benchmarks` can be imported."""


def start(command: Sequence[str | Path], *, log: Path, **environment: str) -> subprocess.Popen[bytes]:
    """Start a process in the folder of its log, in its own session.

    Args:
        command: the program and its arguments.
        log: the file to append its output to.
        environment: variables to add to ours. It does not inherit those of the project (``ORDERS_…``).
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - no part of the command comes from outside
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
    """Yield processes. At the end, ask all to stop (SIGTERM), and kill those that do not, with their children."""
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
    """Kill those that still run. psutil compares start times too, so it kills no other process with the same pid."""
    for member in members:
        with suppress(psutil.NoSuchProcess):
            member.kill()


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; an empty list if it has ended."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU seconds, user and system, that these processes and their descendants have used so far.

    This includes descendants that have ended and were waited for: Linux adds their time to that of their parent.
    """
    seconds = 0.0
    for pid in pids:
        for member in family(pid):
            with suppress(psutil.NoSuchProcess):
                seconds += sum(member.cpu_times()[:4])  # user, system, children's user, children's system
    return seconds
