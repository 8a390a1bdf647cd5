"""The Redis keys. Every key is built here, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

_NO_BRACES = str.maketrans("", "", "{}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one sorted set. All share one cluster slot, so that one script may touch them together."""

    schedule: str
    """Sorted set: order id → deadline, or the end of its lease. The only key that others may write to."""

    def shard(self, number: int) -> Keys:
        """Return the keys of a shard, which have a cluster slot of their own: ``{orders:3}``, ``{orders:3}:dead``."""
        return Keys(f"{{{self.schedule.translate(_NO_BRACES)}:{number}}}")

    @property
    def attempts(self) -> str:
        """Hash: order id → how many attempts at it were started and did not end well, or have not ended yet."""
        return self._beside("attempts")

    @property
    def failures(self) -> str:
        """Hash: order id → the error of its last attempt, as JSON."""
        return self._beside("failures")

    @property
    def dead(self) -> str:
        """Hash: order id → its dead letter, as JSON."""
        return self._beside("dead")

    @property
    def leases(self) -> str:
        """Sorted set: the tokens of the leases that run. It tells a lease from a deadline; nothing else needs it."""
        return self._beside("leases")

    @property
    def stats(self) -> str:
        """Hash: counters since the beginning, and the time of the last sweep."""
        return self._beside("stats")

    @property
    def traces(self) -> str:
        """Hash: order id → the trace context in which it was enqueued, if that was recorded; see `orders.tracing`."""
        return self._beside("traces")

    @property
    def delivering(self) -> str:
        """String: there while a worker delivers events, so that no second one holds a process for it."""
        return self._beside("delivering")

    def _beside(self, name: str) -> str:
        # "{orders}:attempts" hashes like "orders"; a name with a hash tag of its own keeps it.
        has_tag = 0 <= self.schedule.find("{") < self.schedule.find("}") - 1
        return f"{self.schedule}:{name}" if has_tag else f"{{{self.schedule}}}:{name}"


def home(member: bytes, shards: int) -> int:
    """Return the shard that an id belongs to: its CRC-32, which any language and database can compute, modulo them."""
    return crc32(member) % shards
