"""The Redis keys of the schedule. No other module builds one."""

from __future__ import annotations

from dataclasses import dataclass
from zlib import crc32

_NO_BRACES = str.maketrans("", "", "{}")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one sorted set. They share a cluster slot, so that one script can use them together."""

    schedule: str
    """Sorted set: order id → deadline, or the end of its lease. The only key that other programs may write to."""

    def shard(self, number: int) -> Keys:
        """Return the keys of a shard. Each shard has its own cluster slot: ``{orders:3}``, ``{orders:3}:dead``."""
        return Keys(f"{{{self.schedule.translate(_NO_BRACES)}:{number}}}")

    @property
    def attempts(self) -> str:
        """Hash: order id → how many attempts were started and have failed or not ended yet."""
        return self._beside("attempts")

    @property
    def failures(self) -> str:
        """Hash: order id → why its last attempt failed, as JSON."""
        return self._beside("failures")

    @property
    def dead(self) -> str:
        """Hash: order id → its dead letter, as JSON."""
        return self._beside("dead")

    @property
    def leases(self) -> str:
        """Sorted set: the tokens of running leases. Used only to distinguish leases from deadlines."""
        return self._beside("leases")

    @property
    def stats(self) -> str:
        """Hash: the counters, and the time of the last sweep."""
        return self._beside("stats")

    @property
    def brake(self) -> str:
        """Hash: a sixtieth of the window of ``ORDERS_BRAKE`` → how many orders expired in it; and their total."""
        return self._beside("brake")

    @property
    def history(self) -> str:
        """Hash: a minute modulo a day's → what was counted in it, as JSON; see `orders.schedule.history`."""
        return self._beside("history")

    @property
    def traces(self) -> str:
        """Hash: order id → the trace context in which it was enqueued, if it was traced; see `orders.tracing`."""
        return self._beside("traces")

    @property
    def delivering(self) -> str:
        """String: exists while a worker delivers events, so that no second process does it."""
        return self._beside("delivering")

    def _beside(self, name: str) -> str:
        # "{orders}:attempts" has the slot of "orders"; a name with its own hash tag keeps that.
        has_tag = 0 <= self.schedule.find("{") < self.schedule.find("}") - 1
        return f"{self.schedule}:{name}" if has_tag else f"{{{self.schedule}}}:{name}"


def home(member: bytes, shards: int) -> int:
    """Return the shard of an id: its CRC-32, which any language and database can compute, modulo *shards*."""
    return crc32(member) % shards
