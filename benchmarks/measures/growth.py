"""Growth: the cost of a claim and of an empty sweep as the number of pending orders grows.

Redis's own time comes from its slow log, which is set to log every command: its microseconds for each command of the
client, including the commands that a script calls. The time that a caller waits is measured with the client's clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial

from redis import Redis

from benchmarks.lab import Lab, Measure, Result, percentile
from orders.config.settings import Settings
from orders.expiry.sweep import Dispatch, run_sweep
from orders.schedule.scripts import CHUNK
from orders.schedule.sorted_set import Schedule

PENDING = (10_000, 1_000_000, 10_000_000)
QUICK_PENDING = (10_000, 100_000, 1_000_000)

CALLS = 50
"""Number of calls; the result is their median."""

FILL = """
local pairs = {}
for id = ARGV[1], ARGV[2] do
  pairs[#pairs + 1], pairs[#pairs + 2] = ARGV[3] + id / 1000, id
  if #pairs == 2000 or id == tonumber(ARGV[2]) then
    redis.call('ZADD', KEYS[1], unpack(pairs))
    pairs = {}
  end
end
"""
"""Adds the ids from ARGV[1] to ARGV[2], due from ARGV[3] on, one millisecond apart."""


class Nowhere:
    """A publisher without a queue, so that only the schedule is measured."""

    def backlog(self) -> int:
        """Return 0: nothing waits."""
        return 0

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        """Fail: nothing is due, so nothing may be sent."""
        raise AssertionError(dispatches)


def _pending(lab: Lab) -> tuple[int, ...]:
    return QUICK_PENDING if lab.quick else PENDING


def steps(lab: Lab) -> int:
    """Return the number of sizes."""
    return len(_pending(lab))


def run(lab: Lab) -> Sequence[Result]:
    """Fill one Redis step by step, and measure after each step."""
    data, filled = [], 0
    with lab.servers.redis("--slowlog-max-len", "100") as server, Redis.from_url(server.url) as redis:
        for pending in _pending(lab):
            lab.step(f"growth: {pending:,} pending")
            _fill(redis, filled, pending)
            filled = pending
            data.append({"pending": pending, **_measure(redis, server.url)})
    return [
        Result(
            name="growth",
            title="Cost by number of pending orders",
            columns=("pending", "claim of 1,000, Redis ms", "waited ms", "empty sweep, Redis ms", "waited ms"),
            rows=[
                [
                    f"{found['pending']:,}",
                    *(f"{found[name]:.3f}" for name in ("claim", "claim_waited", "sweep", "sweep_waited")),
                ]
                for found in data
            ],
            note=f"Medians of {CALLS} calls. Waited: seen by the client. The sweep without the broker.",
            data=data,
        )
    ]


def _fill(redis: Redis, filled: int, pending: int) -> None:
    """Add orders that are due in a day, until *pending* orders are pending."""
    script = redis.register_script(FILL)
    redis.config_set("slowlog-log-slower-than", -1)
    due = time.time() + 86400
    for first in range(filled + 1, pending + 1, 100_000):
        script(keys=["orders"], args=[first, min(first + 99_999, pending), due])
    time.sleep(2.0)  # until the hash table is resized and the append-only file is written
    redis.config_set("slowlog-log-slower-than", 0)


def _measure(redis: Redis, url: str) -> dict[str, float]:
    settings = Settings(redis_url=url)
    due = {f"due-{number}": float(number) for number in range(CHUNK)}
    with closing(Schedule.connect(settings)) as schedule:
        claims = _calls(redis, partial(schedule.claim, CHUNK), before=lambda: redis.zadd("orders", due))
        redis.zrem("orders", *due)
        sweeps = _calls(redis, partial(run_sweep, schedule, Nowhere(), settings), before=lambda: None)
    figures = ("", "_p99", "_waited")
    return {
        f"{what}{figure}": value
        for what, found in (("claim", claims), ("sweep", sweeps))
        for figure, value in zip(figures, found, strict=True)
    }


def _calls(redis: Redis, call: Callable[[], object], *, before: Callable[[], object]) -> tuple[float, float, float]:
    """Return Redis's milliseconds per call, median and p99, and the median milliseconds that the caller waited."""
    within, waited = [], []
    before()
    call()  # to load the script
    for _ in range(CALLS):
        before()
        redis.slowlog_reset()
        began = time.perf_counter()
        call()
        waited.append((time.perf_counter() - began) * 1e3)
        log = redis.slowlog_get(100)
        commands = [entry for entry in log if not bytes(entry["command"]).startswith(b"SLOWLOG")]
        within.append(sum(entry["duration"] for entry in commands) / 1e3)
    within.sort()
    waited.sort()
    return percentile(within, 0.5), percentile(within, 0.99), percentile(waited, 0.5)


MEASURE = Measure("growth", "what a claim and an empty sweep cost with 10 million pending", steps, run)
