"""The cost of each step: the table that the model uses, and how each figure is derived from the measurements.

No figure is fitted to a drain. All come from parts that were measured by themselves (benchmarks/measures/costs.py).
Where a part does two things, two parts that do different numbers of them give two equations.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeAlias

Part: TypeAlias = dict[str, float]
"""The measurements of one part: CPU seconds by process, and the number of orders, messages and attempts."""


def _cost(about: str, source: str) -> Any:
    return field(metadata={"about": about, "source": source})


@dataclass(frozen=True)
class Costs:
    """CPU seconds of one core, unless a cost says otherwise."""

    sweep_call: float = _cost("sweeper: a claim that finds nothing", "500 empty sweeps")
    sweep_order: float = _cost("sweeper: each order of a claim", "two sweeps: in batches, and with a task each")
    sweep_message: float = _cost("sweeper: each message that it makes and sends", "the same two sweeps")
    claim_call: float = _cost("schedule: a claim that finds nothing", "500 empty sweeps")
    claim_order: float = _cost("schedule: each order of a claim", "sweep in batches")
    attempt_call: float = _cost("schedule: start and settle, each attempt", "workers with batches of 50 and of 500")
    attempt_order: float = _cost("schedule: start and settle, each order", "workers with batches of 50 and of 500")
    enqueue: float = _cost("schedule: `orders.enqueue`, one by one", "4,000 of them")
    remove: float = _cost("schedule: `orders.remove`, one by one", "4,000 of them")
    length: float = _cost("broker: the length of the queue", "500 empty sweeps")
    push_message: float = _cost("broker: each message that comes in", "two sweeps: in batches, and with a task each")
    push_order: float = _cost("broker: each order of a batch that comes in", "the same two sweeps")
    pop_message: float = _cost("broker: each message that goes out", "quiet worker")
    events_message: float = _cost("broker: Flower's three events of a message", "workers with events and without")
    take_message: float = _cost(
        "worker: take a message, with many others, and keep it", "worker with messages that are due later"
    )
    run_message: float = _cost(
        "worker: each further message of an attempt", "quiet worker, without the attempts and the taking"
    )
    log_message: float = _cost("worker: its part of a line in the log", "workers that log and that do not")
    tell_message: float = _cost("worker: Flower's three events of a message", "workers with events and without")
    worker_call: float = _cost(
        "worker: each attempt, with all that is done for its first message", "workers with batches of 50 and of 500"
    )
    worker_order: float = _cost("worker: each order of an attempt", "workers with batches of 50 and of 500")
    worker_event: float = _cost(
        "worker: each row in the table of events", "workers with batches, with the table and without"
    )
    transaction: float = _cost("PostgreSQL: each transaction", "workers with batches of 50 and of 500")
    row: float = _cost("PostgreSQL: each row", "workers with batches of 50 and of 500")
    event_row: float = _cost(
        "PostgreSQL: each row in the table of events", "workers with batches, with the table and without"
    )
    commit_wait: float = _cost(
        "PostgreSQL: time until the disk has a commit", "200 commits that wait for it, and 200 that do not"
    )
    wal_order: float = _cost("PostgreSQL: bytes written ahead for each row", "worker with batches of 500")


def about(name: str) -> tuple[str, str]:
    """Return the step that a cost belongs to, and the measurement that it comes from."""
    (found,) = (each for each in fields(Costs) if each.name == name)
    return found.metadata["about"], found.metadata["source"]


SINGLE, BATCHED = "sweep, a task for each order", "sweep, batches of 500"
FEW, MANY = "worker, batches of 50", "worker, batches"
TABLE = "worker, batches, with the table of order events"
EVENTS = "worker, one task per order"
LOGGING, QUIET = f"{EVENTS}, no Celery events", f"{EVENTS}, no Celery events, quiet"
"""Names of parts."""


def derive(rounds: Sequence[dict[str, Any]]) -> Costs:
    """Return the costs from the rounds of the measurement ``costs``: medians, and differences of medians."""
    parts = _medians(rounds)
    return Costs(**_sweeper(parts), **_schedule(parts), **_broker(parts), **_worker(parts), **_database(parts))


def _sweeper(parts: dict[str, Part]) -> Part:
    order, message = _two(parts[SINGLE], parts[BATCHED], "sweeper", "orders", "messages")
    return {"sweep_call": parts[BATCHED]["sweeper_empty"], "sweep_order": order, "sweep_message": message}


def _schedule(parts: dict[str, Part]) -> Part:
    batched, enqueue = parts[BATCHED], parts["enqueue, one by one"]
    order, call = _two(parts[FEW], parts[MANY], "schedule", "orders", "attempts")
    return {
        "claim_call": batched["schedule_empty"],
        "claim_order": batched["schedule"] / batched["orders"],
        "attempt_call": call,
        "attempt_order": order,
        "enqueue": enqueue["schedule"] / enqueue["orders"],
        "remove": enqueue["schedule_remove"] / enqueue["orders"],
    }


def _broker(parts: dict[str, Part]) -> Part:
    quiet, events = parts[QUIET], parts[EVENTS]
    order, message = _two(parts[SINGLE], parts[BATCHED], "broker", "orders", "messages")
    pop = quiet["broker"] / quiet["messages"]
    return {
        "length": parts[BATCHED]["broker_empty"],
        "push_message": message,
        "push_order": order,
        "pop_message": pop,
        "events_message": _more(events["broker"] / events["messages"], pop),
    }


def _worker(parts: dict[str, Part]) -> Part:
    held, many, table = parts["worker, messages due later"], parts[MANY], parts[TABLE]
    took = held["worker"] / held["messages"]
    order, first = _two(parts[FEW], many, "worker", "orders", "attempts")
    call = _more(first, took)

    def further(name: str) -> float:
        """Return what a worker used for each message that was not the first of its attempt, when it had taken it."""
        part = parts[name]
        used = part["messages"] * took + part["attempts"] * call + part["orders"] * order
        return _more(part["worker"], used) / (part["messages"] - part["attempts"])

    quiet, logging, events = further(QUIET), further(LOGGING), further(EVENTS)
    return {
        "take_message": took,
        "run_message": quiet,
        "log_message": _more(logging, quiet),
        "tell_message": _more(events, logging),
        "worker_call": call,
        "worker_order": order,
        "worker_event": _more(table["worker"] / table["orders"], many["worker"] / many["orders"]),
    }


def _database(parts: dict[str, Part]) -> Part:
    many, table, commit = parts[MANY], parts[TABLE], parts["commit"]
    order, call = _two(parts[FEW], many, "database", "orders", "attempts")
    return {
        "transaction": call,
        "row": order,
        "event_row": _more(table["database"] / table["orders"], many["database"] / many["orders"]),
        "commit_wait": _more(commit["on"], commit["off"]),
        "wal_order": many["wal_bytes"] / many["orders"],
    }


def _medians(rounds: Sequence[dict[str, Any]]) -> dict[str, Part]:
    found: dict[str, Part] = {}
    for name in dict.fromkeys(round_["part"] for round_ in rounds):
        of_part = [round_ for round_ in rounds if round_["part"] == name]
        found[name] = {key: statistics.median(each[key] for each in of_part) for key in of_part[0] if key != "part"}
    return found


def _two(one: Part, other: Part, cpu: str, first: str, second: str) -> tuple[float, float]:
    """Solve for the costs of two things, from two parts that did different numbers of them; neither is below zero."""
    determinant = one[first] * other[second] - other[first] * one[second]
    of_first = (one[cpu] * other[second] - other[cpu] * one[second]) / determinant
    of_second = (one[first] * other[cpu] - other[first] * one[cpu]) / determinant
    return max(of_first, 0.0), max(of_second, 0.0)


def _more(this: float, that: float) -> float:
    """Return the difference of two figures, or zero if noise makes it negative."""
    return max(this - that, 0.0)
