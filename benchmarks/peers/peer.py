"""How every peer is filled and run: in processes of its own, started as its documentation starts them."""

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
    """Its module beside this one: what its workers import, and a function ``fill(orders)``."""
    workers: Sequence[str]
    """The arguments of Python, as in a shell, for each process that is started."""
    note: str
    shape: Shape = "one job per order"

    @property
    def python(self) -> Path | None:
        """The Python that has its package, if that is not the one that runs the benchmarks."""
        return None

    @property
    def version(self) -> str:
        """Of the package.

        Raises:
            NotInstalled: it is missing.
        """
        return self._version_in(self.python or Path(sys.executable))

    def fill(self, bench: Bench, orders: int) -> None:
        """Put one job for each of the ids 1 to *orders* into the peer's queue; nothing runs yet.

        Raises:
            NotInstalled: the peer's package is missing.
            RuntimeError: it failed; with the end of its log.
        """
        log = bench.folder / f"{self.module}-fill.log"
        command: list[str | Path] = [self._python_in(bench), "-m", f"{__package__}.fill", self.module, str(orders)]
        filling = start(command, log=log, **environment(bench))
        with stopped_at_end([filling]):
            if filling.wait():
                raise RuntimeError(f"{self.name} could not be filled: {log.read_text(errors='replace')[-2000:]}")

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Run the peer's workers; stop them at the end.

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
        found = subprocess.run([python, "-c", code], check=False, capture_output=True, text=True)  # noqa: S603 - ours
        if found.returncode:
            raise NotInstalled(f"{self.package} is not installed for {python}")
        return found.stdout.strip()


@dataclass(frozen=True)
class PeerApart(Peer):
    """A peer that cannot be installed beside the others."""

    environment: str = ""
    """Its virtual environment, in the repository."""
    variable: str = ""
    """The environment variable that names another Python for it."""

    @property
    def python(self) -> Path:
        """The Python that has its package.

        Raises:
            NotInstalled: there is none.
        """
        python = Path(os.environ.get(self.variable) or ROOT / self.environment / "bin" / "python")
        if not python.exists():
            raise NotInstalled(
                f"{self.package} needs a Python of its own: {python} is missing; {self.variable} names one"
            )
        return python


def environment(bench: Bench) -> dict[str, str]:
    """Return the variables that tell a peer's processes where they are."""
    return {REDIS_URL: bench.redis_url, DATABASE_URL: bench.database_url, "PYTHONPATH": str(ROOT)}
