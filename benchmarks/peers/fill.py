"""Fill a peer's queue in its own process: ``python -m benchmarks.peers.fill huey_peer 20000``."""

from __future__ import annotations

import importlib
import sys


def main(peer: str, orders: str) -> None:
    """Call ``fill`` of a peer's module, which queues one job for each of the ids 1 to *orders*."""
    importlib.import_module(f"benchmarks.peers.{peer}").fill(int(orders))


if __name__ == "__main__":
    main(*sys.argv[1:])
