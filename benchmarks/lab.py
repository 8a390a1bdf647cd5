"""What a measurement is given, and what it gives back."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers import Servers


@dataclass(frozen=True)
class Lab:
    """Where measurements are made, and how thoroughly."""

    servers: Servers
    quick: bool
    """Whether a glance is enough: fewer orders, shorter times."""
    rounds: int
    """How often what can be repeated is."""
    contenders: str
    """Part of the names of those that take part; empty for all."""
    step: Callable[[str], None]
    """Tells the user what begins now."""


@dataclass(frozen=True)
class Result:
    """One table, and the raw data behind it."""

    name: str
    title: str
    columns: Sequence[str]
    """The first is what a row is about; the others are figures."""
    rows: Sequence[Sequence[str]]
    note: str = ""
    """How to read it."""
    data: Sequence[dict[str, Any]] = field(default_factory=list)
    """For the JSON file and the plots: every round."""


@dataclass(frozen=True)
class Measure:
    """A measurement by its name."""

    name: str
    about: str
    steps: Callable[[Lab], int]
    """How many steps it will tell of."""
    run: Callable[[Lab], Sequence[Result]]


def spread(values: Iterable[float], form: str = ",.0f") -> str:
    """Return the median, and if there are several, the lowest and the highest: ``2,600 (2,400 to 2,750)``."""
    known = sorted(values)
    if not known:
        return "-"
    median = format(statistics.median(known), form)
    return median if len(known) == 1 else f"{median} ({known[0]:{form}} to {known[-1]:{form}})"


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; 0.0 of none."""
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)] if ascending else 0.0
