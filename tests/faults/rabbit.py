"""A RabbitMQ of our own, from Debian's rabbitmq-server."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from orders.embedded import free_port

SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Beside what is on PATH, which would start it as another user, and in another folder."""

START_TIMEOUT = 120.0
"""Seconds that it may take to start, on a machine that does much else."""


class RabbitMq:
    """A node in a folder of its own, with a port mapper of its own, so that it meets no other."""

    def __init__(self, folder: Path, mapper: int) -> None:
        self.port = free_port()
        self._folder = folder
        self._mapper = mapper
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its URL, for ``ORDERS_BROKER_URL``."""
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        configuration = self._folder / "rabbitmq.conf"
        configuration.write_text(f"listeners.tcp.1 = 127.0.0.1:{self.port}\n")
        own = {
            "HOME": str(self._folder),  # where Erlang has its cookie
            "ERL_EPMD_PORT": str(self._mapper),
            "RABBITMQ_NODENAME": "orders@localhost",
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_CONFIG_FILE": str(configuration),
            "RABBITMQ_CONF_ENV_FILE": os.devnull,
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self._folder / "plugins"),
            "RABBITMQ_MNESIA_BASE": str(self._folder / "data"),
            "RABBITMQ_LOG_BASE": str(self._folder / "log"),
            "RABBITMQ_PID_FILE": str(self._folder / "pid"),
        }
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [SERVER], cwd=self._folder, env={**os.environ, **own}, stdout=log, stderr=log, start_new_session=True
            )
        give_up = time.monotonic() + START_TIMEOUT
        while not self._is_open():
            assert self._process.poll() is None, (self._folder / "server.log").read_text()
            assert time.monotonic() < give_up, "RabbitMQ is not ready"
            time.sleep(0.05)

    def kill(self) -> None:
        """Kill it, as a crash does."""
        if self._process is None:
            return
        family = []
        with suppress(psutil.NoSuchProcess):
            shell = psutil.Process(self._process.pid)
            family = [*shell.children(recursive=True), shell]
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, timeout=START_TIMEOUT)  # whose port is closed when they are gone
        self._process.wait()

    def _is_open(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False


@contextmanager
def running_rabbit(folder: Path) -> Iterator[RabbitMq]:
    """Start a RabbitMQ in a folder; stop it at the end."""
    mapper = shutil.which("epmd")
    if mapper is None or not SERVER.exists():
        assert not os.environ.get("CI"), "rabbitmq-server is missing"
        pytest.skip("rabbitmq-server is not installed")
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        port = free_port()
        # Erlang would start one that stays.
        mapping = stack.enter_context(subprocess.Popen([mapper, "-port", str(port), "-address", "127.0.0.1"]))
        stack.callback(mapping.kill)
        rabbit = RabbitMq(folder, port)
        stack.callback(rabbit.kill)
        rabbit.start()
        yield rabbit
