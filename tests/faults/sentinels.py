"""A Redis with two replicas, and three Sentinels that make a replica the master when it is gone."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from redis import Redis, RedisError

from orders.embedded import EmbeddedRedis, find_redis_server, free_port

NAME = "shop"
QUORUM = 2
DOWN_AFTER = 2000
"""Milliseconds without an answer after which a Sentinel takes a server for dead. The default, 30,000, suits few; a test
needs some of them to see that there is no master."""

REPLICA = ("--repl-diskless-sync-delay", "0")
"""So that a replica is one at once."""

CONFIGURATION = """
bind 127.0.0.1
port {port}
dir {folder}
logfile {folder}/sentinel.log
sentinel monitor {name} 127.0.0.1 {master} {quorum}
sentinel down-after-milliseconds {name} {down_after}
sentinel failover-timeout {name} 10000
"""


class Watched:
    """A master, its replicas, and the ports of the Sentinels that watch over them."""

    def __init__(self, master: EmbeddedRedis, replicas: Sequence[EmbeddedRedis], ports: Sequence[int]) -> None:
        self.master, self.replicas, self.ports = master, replicas, ports

    @property
    def url(self) -> str:
        """Its URL, for ``ORDERS_REDIS_URL``."""
        return "sentinel://" + ",".join(f"127.0.0.1:{port}" for port in self.ports) + f"/{NAME}"

    def cut_off(self) -> None:
        """Let the replicas hear no more of the master: what it is told from now on is lost with it."""
        for replica in self.replicas:
            with Redis(port=replica.port) as client:
                client.replicaof("127.0.0.1", 1)

    def knows_all(self) -> bool:
        """Tell whether each Sentinel knows the others and the replicas, and these have what the master has."""
        return all(map(self._knows_all, self.ports)) and all(map(_is_linked, self.replicas))

    def _knows_all(self, port: int) -> bool:
        try:
            with Redis(port=port) as sentinel:
                state = sentinel.sentinel_master(NAME)
                return (state["num-slaves"], state["num-other-sentinels"]) == (len(self.replicas), len(self.ports) - 1)
        except RedisError:
            return False


def _is_linked(replica: EmbeddedRedis) -> bool:
    with Redis(port=replica.port) as client:
        return bool(client.info("replication")["master_link_status"] == "up")


@contextmanager
def watched(master: EmbeddedRedis, folder: Path) -> Iterator[Watched]:
    """Give a master replicas and Sentinels, in a folder; stop them at the end."""
    with ExitStack() as stack:
        options = ("--replicaof", "127.0.0.1", str(master.port), *REPLICA)
        replicas = [stack.enter_context(EmbeddedRedis(folder / f"replica{n}", options=options)) for n in (1, 2)]
        ports = [stack.enter_context(_sentinel(folder / f"sentinel{n}", master.port)) for n in (1, 2, 3)]
        found = Watched(master, replicas, ports)
        _until(found.knows_all, "the Sentinels do not know each other")
        yield found


@contextmanager
def _sentinel(folder: Path, master: int) -> Iterator[int]:
    folder.mkdir(parents=True)
    port, file = free_port(), folder / "sentinel.conf"
    file.write_text(
        CONFIGURATION.format(port=port, folder=folder, name=NAME, master=master, quorum=QUORUM, down_after=DOWN_AFTER)
    )
    process = subprocess.Popen([find_redis_server(), file, "--sentinel"], stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        process.kill()
        process.wait()


def _until(is_so: Callable[[], bool], why: str) -> None:
    give_up = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < give_up, why
        time.sleep(0.05)
