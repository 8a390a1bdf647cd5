"""A page of the documentation as somebody follows it: its files written, its commands run, its answers compared."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from orders.embedded import free_port
from tests.acceptance.conftest import wait_until


@dataclass
class Block:
    """A block of code in a page."""

    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The path of the file that this is, or is the end of, if its first line tells."""
        named = re.match(r"# ([\w./]+)(: add this at the end)?\n", self.text)
        return named and named[1]

    @property
    def is_addition(self) -> bool:
        """Whether the file exists, and this is added to it."""
        return self.text.partition("\n")[0].endswith(": add this at the end")

    @property
    def only_looks(self) -> bool:
        """Whether its commands change nothing in the shop."""
        return not re.search(r"POST|--data", self.text)

    @property
    def answers(self) -> list[object]:
        return [json.loads(line) for line in self.text.splitlines()]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page's text, in their order."""
    return [Block(*found) for found in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)]


def answer(told: str) -> list[object]:
    """Return the JSON values that commands have printed, one after another."""
    decoder, values, rest = json.JSONDecoder(), list[object](), told.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        values.append(value)
        rest = rest[end:].strip()
    return values


@dataclass
class Reader:
    """Somebody with a folder, and terminals in it."""

    folder: Path
    environment: Mapping[str, str]

    @classmethod
    def of(cls, folder: Path, **given: str) -> Self:
        """Return one whose terminals have these variables, and this Python's commands first on PATH."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        own = {"PATH": path, "PYTHONUNBUFFERED": "1", "PAGE_PORT": str(free_port())}
        return cls(folder, {**os.environ, **own, **given})

    def write(self, block: Block) -> None:
        """Put a block into its file."""
        assert block.file
        file = self.folder / block.file
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{file.read_text()}\n{block.text}" if block.is_addition else block.text)

    def run(self, command: str, *, within: float = 300) -> str:
        """Run commands, and return what they print. They must not fail, or take longer than so many seconds."""
        ran = subprocess.run(
            ["/bin/sh", "-e", "-c", command],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=within,
        )
        assert ran.returncode == 0, f"{command}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    @contextmanager
    def keeps_running(
        self, command: str, *, log: str = "terminal.log", end: signal.Signals = signal.SIGINT
    ) -> Iterator[Path]:
        """Run a command in another terminal; yield what that shows."""
        terminal = self.folder / log
        with terminal.open("wb") as output:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec env {command}"],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        try:
            yield terminal
        finally:
            process.send_signal(end)
            try:
                assert process.wait(60) in {0, 130}
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
                sys.stdout.write(terminal.read_text(errors="replace")[-8000:])  # shown if the test fails

    def hears(self, url: str) -> bool:
        """Tell whether a server answers there."""
        try:
            with urllib.request.urlopen(url, timeout=5) as response:
                return bool(response.status == 200)
        except OSError:
            return False

    def follow(self, command: Block, shown: Block) -> None:
        """Run the commands of a block. What only looks is run until it shows what the page does."""
        if not command.only_looks:
            assert answer(self.run(command.text)) == shown.answers
            return
        wait_until(
            lambda: answer(self.run(command.text)) == shown.answers,
            within=40,
            why=f"the shop never shows {shown.text}",
        )
