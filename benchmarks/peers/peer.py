"""How every peer is filled and run: in its own processes, started as its documentation says."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import Bench, Shape
from benchmarks.peers.job import DATABASE_URL, REDIS_URL, NotInstalled
from benchmarks.processes import ROOT, start, stopped_at_end


@dataclass(frozen=True)
class Peer:
    """A queue that runs one job per order."""

    name: str
    package: str
    module: str
    """Its module in this package, which its workers import, and which has a function ``fill(orders)``."""
    workers: Sequence[str]
    """For each process to start, the arguments of Python, written as in a shell."""
    note: str
    shape: Shape = "one job per order"

    @property
    def python(self) -> Path | None:
        """The Python that has its package, if it is not the one that runs the benchmarks."""
        return None

    @property
    def version(self) -> str:
        """The version of the package.

        Raises:
            NotInstalled: the package is missing.
        """
        return self._version_in(self.python or Path(sys.executable))

    def fill(self, bench: Bench, orders: int) -> None:
        """Queue one job for each of the ids 1 to *orders*. Nothing runs yet.

        Raises:
            NotInstalled: the peer's package is missing.
            RuntimeError: it failed. The message has the end of its log.
        """
        log = bench.folder / f"{self.module}-fill.log"
        command: list[str | Path] = [self._python_in(bench), "-m", f"{__package__}.fill", self.module, str(orders)]
        filling = start(command, log=log, **environment(bench))
        with stopped_at_end([filling]):
            if filling.wait():
                raise RuntimeError(f"{self.name} could not be filled: {log.read_text(errors='replace')[-2000:]}")

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start the peer's workers; stop them at the end.

        Raises:
            NotInstalled: the peer's package is missing.
        """
        python = self._python_in(bench)
        processes: list[subprocess.Popen[bytes]] = []
        with stopped_at_end(processes):
            for number, arguments in enumerate(self.workers, start=1):
                log = bench.folder / f"{self.module}-{number}.log"
                processes.append(start([python, *shlex.split(arguments)], log=log, **environment(bench)))
            yield processes

    def _python_in(self, bench: Bench) -> Path:
        python = self.python or bench.python
        self._version_in(python)
        return python

    def _version_in(self, python: Path) -> str:
        code = f"from importlib.metadata import version; print(version({self.package!r}))"
        found = subprocess.run([python, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603 - fixed
        if found.returncode:
            raise NotInstalled(f"{self.package} is not installed for {python}")
        return found.stdout.strip()


@dataclass(frozen=True)
class PeerApart(Peer):
    """A peer that cannot be installed together with the others."""

    environment: str = ""
    """Its virtual environment, as a path in the repository."""
    variable: str = ""
    """The environment variable that names another Python for it."""

    @property
    def python(self) -> Path:
        """The Python that has its package.

        Raises:
            NotInstalled: there is no such Python.
        """
        python = Path(os.environ.get(self.variable) or ROOT / self.environment / "bin" / "python")
        if not python.exists():
            raise NotInstalled(
                f"{self.package} needs a Python of its own: {python} is missing; {self.variable} names one"
            )
        return python


def environment(bench: Bench) -> dict[str, str]:
    """Return the environment variables that give a peer's processes the URLs of the servers."""
    return {REDIS_URL: bench.redis_url, DATABASE_URL: bench.database_url, "PYTHONPATH": str(ROOT)}
