"""Distance between the processes of a contender and its servers: a proxy in front of each server."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

import sqlalchemy as sa

from benchmarks import processes
from benchmarks.contender import Bench
from orders.embedded import free_port

START_TIMEOUT = 10.0
"""Seconds that a proxy has to start."""


@dataclass(frozen=True)
class Distance:
    """A delay in seconds, in each direction."""

    seconds: float

    @contextmanager
    def between(self, bench: Bench) -> Iterator[tuple[Bench, Sequence[int]]]:
        """Yield the bench with the URLs of the proxies, and the pids of the proxies, one for each server."""
        database, redis = sa.make_url(bench.database_url), sa.make_url(bench.redis_url)
        ports = {free_port(): _socket(database), free_port(): str(redis.port)}
        log = bench.folder / "proxy.log"
        command = [sys.executable, "-m", "benchmarks.proxy", str(self.seconds)]
        proxies = [
            processes.start([*command, f"{port}={server}"], log=log, PYTHONPATH=str(processes.ROOT))
            for port, server in ports.items()
        ]
        with processes.stopped_at_end(proxies):
            for port in ports:
                wait_for(port)
            database_port, redis_port = ports
            afar = database.set(host="127.0.0.1", port=database_port, query={})
            seen = replace(
                bench,
                database_url=afar.render_as_string(hide_password=False),
                redis_url=redis.set(port=redis_port).render_as_string(hide_password=False),
            )
            yield seen, [proxy.pid for proxy in proxies]


def _socket(database: sa.URL) -> str:
    """Return the path of a server's Unix socket, where libpq looks for it, or its port."""
    folder = database.query.get("host")
    return f"{folder}/.s.PGSQL.{database.port or 5432}" if folder else str(database.port or 5432)


def wait_for(port: int) -> None:
    """Wait until a process listens on this port.

    Raises:
        RuntimeError: none did within `START_TIMEOUT`.
    """
    give_up = time.monotonic() + START_TIMEOUT
    while time.monotonic() < give_up:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.02)
    raise RuntimeError(f"the proxy on port {port} did not start")
