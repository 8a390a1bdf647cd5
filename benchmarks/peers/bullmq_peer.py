"""BullMQ, which runs on Node.js. Its worker and the script that fills its queue are in the folder ``bullmq``."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contender import Bench, Shape
from benchmarks.peers.job import NotInstalled
from benchmarks.peers.peer import environment
from benchmarks.processes import start, stopped_at_end

FOLDER = Path(__file__).with_name("bullmq")
"""``npm ci --prefix`` installs the packages into ``node_modules`` in this folder, where Node.js finds them."""

PROCESSES = 2
CONCURRENCY = 100
"""Jobs that a process runs at a time."""

CONNECTIONS = 20
"""Connections of a process to the database, which allows 100 in total."""


@dataclass(frozen=True)
class BullMQ:
    """BullMQ with the same statement through node-postgres."""

    name: str = "BullMQ"
    shape: Shape = "one job per order"
    note: str = (
        f"On Node.js, with ioredis. A worker process for each core, each with {CONCURRENCY} jobs at a time: "
        "https://docs.bullmq.io/guide/workers/concurrency, https://docs.bullmq.io/guide/parallelism-and-concurrency; "
        "jobs removed when they are done: https://docs.bullmq.io/guide/queues/auto-removal-of-jobs; added with "
        f"addBulk: https://docs.bullmq.io/guide/queues/adding-bulks. node-postgres, a pool of {CONNECTIONS} in each: "
        "https://node-postgres.com/apis/pool; the statement is prepared and commits by itself, one round trip where "
        "SQLAlchemy's transaction has three."
    )

    @property
    def version(self) -> str:
        """The version of the package.

        Raises:
            NotInstalled: Node.js or the package is missing.
        """
        return f"{_version()}, Node.js {_output(_node(), '--version')}"

    def fill(self, bench: Bench, orders: int) -> None:
        """Add one job for each of the ids 1 to *orders*. Nothing runs yet.

        Raises:
            NotInstalled: Node.js or the package is missing.
            RuntimeError: it failed. The message has the end of its log.
        """
        log = bench.folder / "bullmq-fill.log"
        filling = self._start(bench, log, "fill.mjs", orders)
        with stopped_at_end([filling]):
            if filling.wait():
                raise RuntimeError(f"{self.name} could not be filled: {log.read_text(errors='replace')[-2000:]}")

    @contextmanager
    def run(self, bench: Bench) -> Iterator[Sequence[subprocess.Popen[bytes]]]:
        """Start a worker for each core; stop them at the end.

        Raises:
            NotInstalled: Node.js or the package is missing.
        """
        processes: list[subprocess.Popen[bytes]] = []
        with stopped_at_end(processes):
            for number in range(1, PROCESSES + 1):
                log = bench.folder / f"bullmq-{number}.log"
                processes.append(self._start(bench, log, "worker.mjs", CONCURRENCY, CONNECTIONS))
            yield processes

    def _start(self, bench: Bench, log: Path, script: str, *arguments: int) -> subprocess.Popen[bytes]:
        node = _node()
        _version()
        return start([node, FOLDER / script, *map(str, arguments)], log=log, **environment(bench))


def _version() -> str:
    package = FOLDER / "node_modules" / "bullmq" / "package.json"
    if not package.exists():
        raise NotInstalled("bullmq is not installed: npm ci --prefix benchmarks/peers/bullmq")
    return str(json.loads(package.read_text())["version"])


def _node() -> str:
    node = shutil.which("node")
    if node is None:
        raise NotInstalled("Node.js is not installed: there is no node on PATH")
    return node


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()  # noqa: S603 - fixed
