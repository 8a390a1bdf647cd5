"""The model's predictions for deployments that are larger than the machine that was measured.

Floods are simulated. The needs of a steady stream are calculated by the utilisation law: how busy a part is equals the
number of orders per second times the seconds that the part spends on each.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from benchmarks.model.costs import Costs
from benchmarks.model.system import Deployment, Drained, System
from orders.expiry.sweep import SPAN

WORKERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
PENDING = (10**6, 10**7, 10**8, 10**9, 10**10)

LARGE = Deployment(own_broker=True, database_cores=32, round_trip=0.0002, commit_wait=0.001, wal_bandwidth=500e6)
"""The assumed deployment: separate machines, 0.2 ms apart, each process on a core as fast as those measured; PostgreSQL
with 32 such cores, and a disk that writes 500 MB/s and needs 1 ms for a commit."""

FLOODS: Mapping[str, Deployment] = {
    "a task for each order": replace(LARGE, batch_size=1),
    "batches, one Redis for all": replace(LARGE, own_broker=False),
    "batches, the broker on its own": LARGE,
    "…, 4 shards": replace(LARGE, shards=4),
    "…, 16 shards": replace(LARGE, shards=16),
    "…, 64 shards": replace(LARGE, shards=64),
    "…, 64 shards, 4 databases": replace(LARGE, shards=64, database_cores=128, wal_bandwidth=2e9),
}

TIMEOUT = 1800.0
"""Seconds that an order may stay unpaid. As many orders are pending as fall due in this time."""
FULL = 0.7
"""How busy a part may be. Above this, its queue grows fast."""
SHARD_BYTES = 16e9
"""Memory for orders, of a Redis with 32 GB. The other half is for changes while the append-only file is rewritten."""
ORDER_BYTES = 119
"""Memory of a pending order with a UUID, measured by benchmarks/measures/enqueue.py."""
BATCH_SIZE, THRESHOLD, INTERVAL = 1000, 30_000, 10.0
"""ORDERS_BATCH_SIZE, ORDERS_BATCH_THRESHOLD, ORDERS_SWEEP_INTERVAL."""


def flood(costs: Costs, deployment: Deployment) -> Drained:
    """Simulate a flood that is large enough for the workers of this deployment."""
    if deployment.batch_size == 1:
        return System(costs, deployment).drain(THRESHOLD)
    messages = min(max(400, 20 * deployment.workers, 40 * deployment.shards), 6_000)
    return System(costs, deployment).drain(messages * deployment.batch_size)


@dataclass(frozen=True)
class Steady:
    """What a steady stream of expiries needs."""

    pending: int
    rate: float
    """Orders per second that are placed and that fall due. None is paid, which is the most work."""
    shards: int
    batch: int
    """Orders per message."""
    cores: dict[str, float]
    """Cores that each part keeps busy, in total."""
    wal: float
    """Bytes of WAL that PostgreSQL writes per second."""

    @property
    def memory(self) -> float:
        """Bytes of memory in Redis."""
        return self.pending * ORDER_BYTES

    def needed(self, part: str) -> int:
        """Return how many cores a part should have."""
        return math.ceil(self.cores[part] / FULL)


def steady(costs: Costs, claims: Mapping[int, float], pending: int, shards: int | None = None) -> Steady:
    """Calculate what a steady stream needs.

    Args:
        costs: the cost of each step.
        claims: seconds of a claim of 1,000, by number of pending orders.
        pending: number of pending orders.
        shards: number of sorted sets; None for as many as are needed.
    """
    if shards is None:
        shards = math.ceil(pending * ORDER_BYTES / SHARD_BYTES)
        while (found := steady(costs, claims, pending, shards)).cores["schedule"] > FULL * shards:
            shards = max(shards + 1, math.ceil(found.cores["schedule"] / FULL))
        return found
    rate = pending / TIMEOUT
    of_shard = rate / shards
    flood = of_shard * INTERVAL > THRESHOLD
    batch = max(1, min(BATCH_SIZE, int(of_shard * SPAN))) if flood else 1
    factor = growth(claims, pending / shards)
    each = {
        "schedule": costs.enqueue + factor * (costs.claim_order + costs.attempt_order) + costs.attempt_call / batch,
        "broker": (costs.push_message + costs.pop_message + costs.events_message) / batch + costs.push_order,
        "sweeper": costs.sweep_order + costs.sweep_message / batch,
        "workers": costs.worker_order + (costs.take_message + costs.worker_call) / batch,
        "PostgreSQL": costs.row + costs.transaction / batch,
    }
    return Steady(
        pending=pending,
        rate=rate,
        shards=shards,
        batch=batch,
        cores={part: rate * seconds for part, seconds in each.items()},
        wal=rate * costs.wal_order,
    )


def growth(claims: Mapping[int, float], pending: float) -> float:
    """Return the factor by which an order costs more in a sorted set of this size.

    The factor is interpolated linearly in the logarithm of the size, and extrapolated beyond the last measured size.
    """
    sizes: Sequence[int] = sorted(claims)
    if pending <= sizes[0]:
        return 1.0
    upper = next((size for size in sizes if size >= pending), sizes[-1])
    lower = sizes[sizes.index(upper) - 1]
    slope = (claims[upper] - claims[lower]) / math.log(upper / lower)
    return (claims[lower] + slope * math.log(pending / lower)) / claims[sizes[0]]
