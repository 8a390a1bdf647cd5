"""The last thing that `orders up` says at its start: which pages there are, what to try, and how to stop."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from rich.console import Console

from orders import names
from orders.config import Settings
from orders.errors import ScheduleError
from orders.schedule import connect_schedule

START_TIMEOUT = 60.0
"""Seconds in which the first sweep should end."""

LOOK_EVERY = 0.2
"""Seconds between two looks at whether it has."""


@dataclass(frozen=True)
class Servers:
    """Where Redis and the database of an `orders up` are."""

    settings: Mapping[str, str]
    """``ORDERS_*``, for the processes."""
    given: Settings
    """All settings, with this Redis."""
    own: frozenset[str]
    """The settings whose servers it has started itself."""
    file: Path | None
    """The file that names them; see `orders.cli.up_file`."""


class Announcement:
    """Waits for the first sweep in a thread, then prints the block.

    Args:
        servers: where Redis and the database are.
        commands: the commands of the Procfile, by name.
        flower_port: for the command that starts Flower, if there is one.
        page_port: of the operators' page; None if it does not run.
    """

    def __init__(
        self, servers: Servers, commands: Mapping[str, str], *, flower_port: str, page_port: str | None
    ) -> None:
        self._servers = servers
        self._commands = commands.values()
        self._flower_port = flower_port
        self._page_port = page_port
        self._is_cancelled = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start to wait. Call it when no process will be forked any more."""
        if _starts(self._commands, r"\bcelery\b.*\bbeat\b"):  # otherwise nothing sweeps
            self._thread.start()

    def cancel(self) -> None:
        """Print nothing any more."""
        self._is_cancelled.set()

    def _run(self) -> None:
        has_swept = self._wait()
        if not self._is_cancelled.is_set():
            Console(soft_wrap=True, highlight=False, markup=False).print(self._block(has_swept=has_swept))

    def _wait(self) -> bool:
        """Return whether a sweep has ended in time."""
        give_up = time.monotonic() + START_TIMEOUT
        with closing(connect_schedule(self._servers.given)) as schedule:
            began: float | None = None
            while time.monotonic() < give_up:
                try:
                    began = began or schedule.now()
                    if (schedule.swept_at() or 0.0) >= began:
                        return True
                except ScheduleError:
                    pass  # the processes log it
                if self._is_cancelled.wait(LOOK_EVERY):
                    return False
        return False

    def _block(self, *, has_swept: bool) -> str:
        lines = ["", "Everything runs." if has_swept else f"No sweep has ended in {START_TIMEOUT:.0f} s: see above."]
        if self._page_port:
            lines.append(f"  Page    http://127.0.0.1:{self._page_port}/")
            lines.append("          Counts, lists, each order, and what to do if something is wrong.")
        if _starts(self._commands, r"\bflower\b"):
            lines.append(f"  Flower  http://127.0.0.1:{self._flower_port}/tasks")
            lines.append("          It finds order 42 if you search for args:'42', with the quotes.")
        return "\n".join([*lines, *self._what_to_try(), "  Stop    Ctrl-C", ""])

    def _what_to_try(self) -> Iterable[str]:
        """Yield how to place an order and look at it, in another terminal."""
        orders = _command()
        where = "in this folder" if self._servers.file else "with the same ORDERS_… settings"
        yield f"  Try it  in another terminal, {where}:"
        if "ORDERS_DATABASE_URL" in self._servers.own:
            yield f"            {orders} enqueue 42 --insert --timeout 20"
        else:
            yield "            place an order in your shop, say 42"
        yield f"            {orders} explain 42"
        if self._servers.file:
            yield f"          Your own programs need to know the servers first:  . {self._servers.file}"


def _starts(commands: Iterable[str], pattern: str) -> bool:
    return any(re.search(pattern, command) for command in commands)


def _command() -> str:
    """Return what to type for our command: its name if it is on PATH, else its path."""
    if shutil.which(names.COMMAND):
        return names.COMMAND
    path = Path(sys.executable).parent / names.COMMAND
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
