"""Other queues, each running one job per order with the same SQL."""

from typing import TYPE_CHECKING, Any

from benchmarks.peers.job import NotInstalled

if TYPE_CHECKING:
    from benchmarks.peers.roster import PEERS

__all__ = ["PEERS", "NotInstalled"]


def __getattr__(name: str) -> Any:
    """Import the roster on demand: a peer's own environment does not have this project's dependencies."""
    if name == "PEERS":
        from benchmarks.peers import roster  # noqa: PLC0415

        return roster.PEERS
    raise AttributeError(name)
