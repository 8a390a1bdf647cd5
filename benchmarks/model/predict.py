"""What the model says of deployments that are larger than the machine that it was fed from.

Floods are simulated. What a steady stream takes is added up, by the utilisation law: a part is busy for the product of
the orders that come in a second and of what it spends on each.
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
"""What is assumed: machines of their own, 0.2 ms apart, each process on a core as fast as those measured; PostgreSQL
with 32 of them and a disk that takes 500 MB/s and 1 ms for a commit."""

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
"""Seconds that an order may stay unpaid. So many are pending as fall due in them."""
FULL = 0.7
"""How busy a part may be: above, its queue grows fast."""
SHARD_BYTES = 16e9
"""Of a Redis with 32 GB: the other half is for what changes while the append-only file is written anew."""
ORDER_BYTES = 119
"""Of a pending order with a UUID: benchmarks/measures/enqueue.py."""
BATCH_SIZE, THRESHOLD, INTERVAL = 1000, 30_000, 10.0
"""ORDERS_BATCH_SIZE, ORDERS_BATCH_THRESHOLD, ORDERS_SWEEP_INTERVAL."""


def flood(costs: Costs, deployment: Deployment) -> Drained:
    """Simulate a flood that is large enough for this many workers."""
    if deployment.batch_size == 1:
        return System(costs, deployment).drain(THRESHOLD)
    messages = min(max(400, 20 * deployment.workers, 40 * deployment.shards), 6_000)
    return System(costs, deployment).drain(messages * deployment.batch_size)


@dataclass(frozen=True)
class Steady:
    """What a steady stream of expiries takes."""

    pending: int
    rate: float
    """Orders a second that are placed, and that fall due: none is paid, which is the most work."""
    shards: int
    batch: int
    """Orders in a message."""
    cores: dict[str, float]
    """Cores that each part keeps busy, in all."""
    wal: float
    """Bytes a second that PostgreSQL writes ahead."""

    @property
    def memory(self) -> float:
        """Bytes of Redis."""
        return self.pending * ORDER_BYTES

    def needed(self, part: str) -> int:
        """Return how many cores a part is to have."""
        return math.ceil(self.cores[part] / FULL)


def steady(costs: Costs, claims: Mapping[int, float], pending: int, shards: int | None = None) -> Steady:
    """Add up what it takes; without *shards*, with as many as are needed.

    Args:
        costs: what each step costs.
        claims: seconds of a claim of 1,000, by how many are pending.
        pending: orders.
        shards: over so many sorted sets.
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
    """Return by how much dearer an order is in a sorted set of this size.

    In the logarithm of the size, a line between two that were measured; beyond the last one, the same line.
    """
    sizes: Sequence[int] = sorted(claims)
    if pending <= sizes[0]:
        return 1.0
    upper = next((size for size in sizes if size >= pending), sizes[-1])
    lower = sizes[sizes.index(upper) - 1]
    slope = (claims[upper] - claims[lower]) / math.log(upper / lower)
    return (claims[lower] + slope * math.log(pending / lower)) / claims[sizes[0]]
