"""A Redis Cluster of three servers, whose slots can be moved."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.crc import key_slot

from orders.embedded import EmbeddedRedis, free_port

SLOTS = 16384
NODES = 3
SHARE = SLOTS // NODES + 1
OPTIONS = ("--cluster-enabled", "yes", "--cluster-node-timeout", "3000")
BUS = 10_000
"""What a node adds to its port for the port on which nodes talk to each other."""


class Cluster:
    """Three servers with a third of the slots each, and no replicas."""

    def __init__(self, servers: Sequence[EmbeddedRedis]) -> None:
        self.servers = servers
        self._nodes = [Redis(port=server.port, decode_responses=True) for server in servers]
        self._ids = [str(node.execute_command("CLUSTER MYID")) for node in self._nodes]

    @property
    def url(self) -> str:
        """Its URL, for ``ORDERS_REDIS_URL``."""
        return "cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def meet(self) -> None:
        """Make one cluster of the servers."""
        first = self.servers[0].port
        for number, node in enumerate(self._nodes):
            node.execute_command("CLUSTER ADDSLOTS", *range(number * SHARE, min((number + 1) * SHARE, SLOTS)))
            node.execute_command("CLUSTER MEET", "127.0.0.1", first)
        give_up = time.monotonic() + 20
        while not all(self._knows_all(node) for node in self._nodes):
            assert time.monotonic() < give_up, "the cluster did not form"
            time.sleep(0.05)

    def _knows_all(self, node: Any) -> bool:
        told = node.execute_command("CLUSTER INFO")
        return (told["cluster_state"], told["cluster_known_nodes"]) == ("ok", str(NODES))

    def owner(self, key: str) -> int:
        """Return which server has a key."""
        return key_slot(key.encode()) // SHARE

    @contextmanager
    def moving(self, key: str) -> Iterator[None]:
        """Move the slot of a key to the next server; while inside, its keys are here and there."""
        slot, source = key_slot(key.encode()), self.owner(key)
        target = (source + 1) % NODES
        self._nodes[target].execute_command("CLUSTER SETSLOT", slot, "IMPORTING", self._ids[source])
        self._nodes[source].execute_command("CLUSTER SETSLOT", slot, "MIGRATING", self._ids[target])
        yield
        port = self.servers[target].port
        while keys := self._nodes[source].execute_command("CLUSTER GETKEYSINSLOT", slot, 100):
            self._nodes[source].execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "REPLACE", "KEYS", *keys)
        for node in (self._nodes[target], self._nodes[source], *self._nodes):
            node.execute_command("CLUSTER SETSLOT", slot, "NODE", self._ids[target])

    def close(self) -> None:
        """Close the connections."""
        for node in self._nodes:
            node.close()


@contextmanager
def running_cluster(folder: Path) -> Iterator[Cluster]:
    """Start a cluster in a folder; stop it at the end."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(EmbeddedRedis(folder / str(number), port=_port(), options=OPTIONS))
            for number in range(NODES)
        ]
        cluster = Cluster(servers)
        stack.callback(cluster.close)
        cluster.meet()
        yield cluster


def _port() -> int:
    """Return a free port that leaves room for the one of the bus."""
    while (port := free_port()) + BUS > 65535:
        pass
    return port
