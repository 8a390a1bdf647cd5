"""Fill a peer's queue in a process of its own: ``python -m benchmarks.peers.fill huey_peer 20000``."""

from __future__ import annotations

import importlib
import sys


def main(peer: str, orders: str) -> None:
    """Have the module of a peer put one job for each of the ids 1 to *orders* into its queue."""
    importlib.import_module(f"benchmarks.peers.{peer}").fill(int(orders))


if __name__ == "__main__":
    main(*sys.argv[1:])
