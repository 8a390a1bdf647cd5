"""What `orders up` shows of the output of its processes."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable
from typing import Any

from honcho.manager import SYSTEM_PRINTER_NAME
from honcho.printer import Printer

ROUTINE = re.compile(
    r"Scheduler: Sending due task |sweep claimed=0 sent=0 "
    r"|Task orders\.(sweep|deliver|prune|reconcile)\[\S+\] succeeded "
)
"""Lines that say every few seconds that nothing had to be done."""


class Screen:
    """Writes the lines of the processes to standard output, for a `honcho.manager.Manager`.

    When nobody reads it any more, because the terminal was closed, it stops this process as SIGTERM does.

    Args:
        processes: how many processes the manager starts.
        verbose: whether to write routine lines too.
        when_started: called once, when all processes have been started.
    """

    def __init__(self, processes: int, *, verbose: bool, when_started: Callable[[], None]) -> None:
        self._printer = Printer(sys.stdout)
        self._to_start = processes
        self._verbose = verbose
        self._when_started = when_started
        self._stop: Callable[[], None] | None = None
        self._is_gone = False

    @property
    def width(self) -> int:
        """The characters of the longest name of a process. The manager sets it."""
        return int(self._printer.width)

    @width.setter
    def width(self, width: int) -> None:
        self._printer.width = width

    def write(self, message: Any) -> None:
        """Write the lines of a message."""
        text = message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data
        if message.name == SYSTEM_PRINTER_NAME and " started (pid=" in text:
            self._to_start -= 1
            if not self._to_start:
                (self._stop or self._when_started)()
        if self._is_gone or (ROUTINE.search(text) and not self._verbose):
            return
        try:
            self._printer.write(message)
        except OSError:
            self._is_gone = True
            signal.raise_signal(signal.SIGTERM)

    def once_started(self, stop: Callable[[], None]) -> Callable[[], None]:
        """Return what stops the processes, but not before all have been started: the manager would miss some."""

        def stop_or_wait() -> None:
            self._stop = stop
            if self._to_start <= 0:
                stop()

        return stop_or_wait
