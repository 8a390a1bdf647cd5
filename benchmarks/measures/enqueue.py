"""Enqueueing: how fast orders are scheduled, compared with redis-py's bare ZADD, and how much memory each takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from statistics import median
from typing import cast
from uuid import UUID

from redis import Redis

from benchmarks.lab import Lab, Measure, Result, spread
from orders.config.settings import Settings
from orders.expiry.use_cases import OrderExpiry

BLOCK, QUICK_BLOCK = 3_000, 1_000
"""Orders that are scheduled one by one in a turn; then the other has its turn."""

BLOCKS = 5
"""Turns of each per round."""

MANY, QUICK_MANY = 200_000, 50_000
"""Orders for `enqueue_many`."""

PENDING, QUICK_PENDING = 1_000_000, 100_000
"""Orders whose memory is measured."""


def steps(lab: Lab) -> int:
    """Return the number of steps."""
    return lab.rounds + 2


def run(lab: Lab) -> Sequence[Result]:
    """Measure the rates, then the memory."""
    data = []
    for number in range(lab.rounds):
        lab.step(f"enqueue: round {number + 1}")
        data.append(_rates(lab))
    rates = Result(
        name="enqueue",
        title="Enqueueing by one client",
        columns=("", "orders/s"),
        rows=[
            ["bare redis-py ZADD, one by one", spread(round_["zadd"] for round_ in data)],
            ["orders.enqueue, one by one", spread(round_["enqueue"] for round_ in data)],
            ["  as a share of bare ZADD", spread((round_["share"] for round_ in data), ".2f")],
            ["orders.enqueue_many", spread(round_["enqueue_many"] for round_ in data)],
        ],
        note="One by one: in turns, on the same Redis; a share is the median of the turns.",
        data=data,
    )
    return [rates, _memory(lab)]


def _rates(lab: Lab) -> dict[str, float]:
    """Schedule orders one by one, in turns with bare ZADD, then many at once."""
    block, many = (QUICK_BLOCK, QUICK_MANY) if lab.quick else (BLOCK, MANY)
    deadline = datetime.now(UTC) + timedelta(minutes=30)
    score = deadline.timestamp()
    ids = iter(range(1, 10**9))
    with lab.servers.redis() as server, Redis.from_url(server.url) as redis, _expiry(server.url) as expiry:
        turns = [
            (
                _rate(islice(ids, block), lambda order_id: redis.zadd("bare", {str(order_id): score})),
                _rate(islice(ids, block), lambda order_id: expiry.enqueue(order_id, expires_at=deadline)),
            )
            for _ in range(BLOCKS)
        ]
        pairs = [(order_id, deadline) for order_id in islice(ids, many)]
        began = time.perf_counter()
        expiry.enqueue_many(pairs)
        seconds = time.perf_counter() - began
    return {
        "zadd": median(bare for bare, _ in turns),
        "enqueue": median(ours for _, ours in turns),
        "share": median(ours / bare for bare, ours in turns),
        "enqueue_many": many / seconds,
    }


def _rate(ids: Iterable[int], put: Callable[[int], object]) -> float:
    number, began = 0, time.perf_counter()
    for order_id in ids:
        put(order_id)
        number += 1
    return number / (time.perf_counter() - began)


def _memory(lab: Lab) -> Result:
    number = QUICK_PENDING if lab.quick else PENDING
    kinds: dict[str, Callable[[int], int | UUID]] = {
        "7-digit ids": lambda count: 1_000_000 + count,
        "UUIDs": lambda count: UUID(int=(count + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128, version=4),
    }
    data = []
    for kind, make in kinds.items():
        lab.step(f"memory of {number:,} orders with {kind}")
        data.append({"ids": kind, "orders": number, **_bytes(lab, map(make, range(number)), number)})
    return Result(
        name="memory",
        title=f"Redis memory of a pending order, {number:,} pending",
        columns=("", "bytes by MEMORY USAGE", "bytes by used_memory"),
        rows=[[str(found["ids"]), f"{found['memory_usage']:.1f}", f"{found['used_memory']:.1f}"] for found in data],
        note=(
            "used_memory: the difference before and after. The hash table within a sorted set doubles at powers of two "
            "(8 bytes a slot); 1,000,000 is just below one."
        ),
        data=data,
    )


def _bytes(lab: Lab, ids: Iterator[int | UUID], number: int) -> dict[str, float]:
    deadline = datetime.now(UTC) + timedelta(minutes=30)
    pairs = ((order_id, deadline + timedelta(milliseconds=count)) for count, order_id in enumerate(ids))
    with lab.servers.redis() as server, Redis.from_url(server.url) as redis, _expiry(server.url) as expiry:
        expiry.enqueue_many([(1, deadline)])  # to load the script and connect
        expiry.remove(1)
        before = _used(redis)
        while chunk := list(islice(pairs, 10_000)):
            expiry.enqueue_many(chunk)
        time.sleep(1.0)  # until Redis has resized the hash table and freed buffers
        usage = cast("int", redis.memory_usage("orders", samples=0))
        return {"memory_usage": usage / number, "used_memory": (_used(redis) - before) / number}


def _used(redis: Redis) -> int:
    return int(redis.info("memory")["used_memory"])


def _expiry(redis_url: str) -> closing[OrderExpiry]:
    """Return an application's `OrderExpiry` that uses this Redis, and no database."""
    return closing(OrderExpiry.connect(Settings(redis_url=redis_url)))


MEASURE = Measure("enqueue", "how fast orders are scheduled, and what they take of Redis's memory", steps, run)
