"""The arguments and the result of a measurement."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.servers import Servers


@dataclass(frozen=True)
class Lab:
    """Where measurements run, and how thoroughly."""

    servers: Servers
    quick: bool
    """Whether to measure fewer orders, for a shorter time."""
    rounds: int
    """How often to repeat the measurements that can be repeated."""
    contenders: str
    """Part of the names of the contenders to measure; empty for all."""
    step: Callable[[str], None]
    """Shows the user which step begins."""


@dataclass(frozen=True)
class Result:
    """A table, and the raw data behind it."""

    name: str
    title: str
    columns: Sequence[str]
    """The first names the subject of a row; the others are figures."""
    rows: Sequence[Sequence[str]]
    note: str = ""
    """How to read it."""
    data: Sequence[dict[str, Any]] = field(default_factory=list)
    """Every round, for the JSON file and the plots."""


@dataclass(frozen=True)
class Measure:
    """A measurement and its name."""

    name: str
    about: str
    steps: Callable[[Lab], int]
    """How many steps it will report."""
    run: Callable[[Lab], Sequence[Result]]


def spread(values: Iterable[float], form: str = ",.0f") -> str:
    """Return the median and, of several values, the lowest and the highest: ``2,600 (2,400 to 2,750)``."""
    known = sorted(values)
    if not known:
        return "-"
    median = format(statistics.median(known), form)
    return median if len(known) == 1 else f"{median} ({known[0]:{form}} to {known[-1]:{form}})"


def percentile(ascending: Sequence[float], share: float) -> float:
    """Return the value that this share of the values does not exceed; 0.0 if there are no values."""
    return ascending[min(int(len(ascending) * share), len(ascending) - 1)] if ascending else 0.0
