"""The measurements that the model uses: the costs, and the drains that it should reproduce.

They are read from the files that ``python -m benchmarks --json`` writes, and kept in ``measured.json`` beside this
module, so that the page can be made again without measuring.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.model.costs import Costs, derive
from benchmarks.model.system import Deployment
from benchmarks.ours import BATCHES, OURS

KEPT = Path(__file__).with_name("measured.json")
"""The measurements that the page is made from."""

DRAINS = ("scaling", "batch_size", "drain")
"""The measurements whose rounds are drains, in the order of the table."""


@dataclass(frozen=True)
class Drain:
    """A drain that was measured in one or several rounds."""

    name: str
    orders: int
    deployment: Deployment
    """The deployment that was measured: cores and settings."""
    rates: tuple[float, ...]
    """Orders per second, for each round."""
    attempts: float
    """Number of transactions, as the median of the rounds."""

    @property
    def rate(self) -> float:
        """The median rate."""
        return statistics.median(self.rates)


@dataclass(frozen=True)
class Measured:
    """The model's input, and the drains that it is compared with."""

    machine: dict[str, Any]
    costs: Costs
    drains: tuple[Drain, ...]
    claims: dict[int, float]
    """Seconds that Redis needs for a claim of 1,000, by number of pending orders."""


def collect(files: Iterable[Path]) -> dict[str, Any]:
    """Return what the model needs from the benchmarks' files. A later file replaces figures of an earlier one."""
    kept: dict[str, Any] = {"machine": {}, "rounds": {}}
    for file in files:
        run = json.loads(file.read_text())
        kept["machine"] |= run["machine"]
        fresh: dict[str, list[Any]] = {}
        for result in run["results"]:
            if result["name"] in {"costs", "growth", *DRAINS}:
                rounds = (round_ for round_ in result["rounds"] if _is_ours(round_))
                fresh.setdefault(result["name"], []).extend(map(_short, rounds))
        kept["rounds"] |= fresh
    if missing := {"costs", "growth", "drain"} - set(kept["rounds"]):
        raise ValueError(f"no measurement of {', '.join(sorted(missing))} in the files given; --only names them")
    return kept


def load(kept: dict[str, Any]) -> Measured:
    """Convert what `collect` returned for the model."""
    rounds = kept["rounds"]
    return Measured(
        machine=kept["machine"],
        costs=derive(rounds["costs"]),
        drains=tuple(_drains(rounds, cores=kept["machine"]["cores"])),
        claims={found["pending"]: found["claim"] / 1e3 for found in rounds["growth"]},
    )


def _is_ours(round_: dict[str, Any]) -> bool:
    """Return whether a round is not a peer's, and nothing went wrong in it."""
    if "contender" not in round_:
        return True
    audit = round_["audit"]
    is_right = not round_["error"] and audit["expired"] == audit["orders"] and not audit["doubled"]
    return is_right and any(round_["contender"] == ours.name for ours in OURS)


def _short(round_: dict[str, Any]) -> dict[str, Any]:
    """Return a round with only what the model needs."""
    if "audit" not in round_:
        return {name: round(value, 6) if isinstance(value, float) else value for name, value in round_.items()}
    kept: dict[str, Any] = {
        name: round_[name] for name in ("contender", "orders", "workers", "batch_size") if name in round_
    }
    audit = round_["audit"]
    return {**kept, "rate": round(audit["rate"], 1), "attempts": audit["transactions"]}


def _drains(rounds: dict[str, list[dict[str, Any]]], *, cores: int) -> Iterator[Drain]:
    """Group the rounds by configuration."""
    found: dict[str, list[dict[str, Any]]] = {}
    for measure in DRAINS:
        for round_ in rounds.get(measure, []):
            found.setdefault(_name(measure, round_), []).append(round_)
    for name, same in found.items():
        ours = next(ours for ours in OURS if ours.name == same[0]["contender"])
        size = same[0].get("batch_size", 1000) if ours.shape == BATCHES.shape else 1
        yield Drain(
            name=name,
            orders=same[0]["orders"],
            deployment=Deployment(
                workers=same[0].get("workers", ours.workers),
                batch_size=size,
                one_machine=cores,
                events=ours.celery_events,
                logs=ours.loglevel == "INFO",
                events_table=ours.events_table,
            ),
            rates=tuple(round_["rate"] for round_ in same),
            attempts=statistics.median(round_["attempts"] for round_ in same),
        )


def _name(measure: str, round_: dict[str, Any]) -> str:
    name = round_["contender"].removeprefix("this project, ")
    if measure == "scaling":
        return f"{name}, {round_['workers']} worker{'s'[: round_['workers'] > 1]}"
    if measure == "batch_size":
        return f"{name} of {round_['batch_size']:,}, 2 workers"
    return f"{name}, {round_['orders']:,} orders"
