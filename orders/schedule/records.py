"""What the schedule says, and is told, of orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Lease(NamedTuple):
    """A fencing token, and where it holds."""

    token: float
    """The end of the lease, as a score."""
    shard: int | None = None
    """The shard whose ids it holds; None for the sorted set that is named ``ORDERS_KEY``."""


class Claimed(NamedTuple):
    """An id that this claim leased."""

    order_id: str
    due: float
    """Its deadline as the schedule had it, or the end of the lease that has run out: Unix seconds."""
    attempts: int
    """How many attempts at it were started before, and did not end well."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What one call of `Schedule.claim` took."""

    now: float
    """Redis's clock, in Unix seconds."""
    lease: float
    """The fencing token of all its ids, as a score."""
    lease_ends: float
    """The instant that the token stands for, in Unix seconds."""
    claimed: Sequence[Claimed]


@dataclass(frozen=True, slots=True)
class Move:
    """Where an id goes in the schedule."""

    order_id: str
    due: float
    attempts: int = 0
    """The attempts that count from now on."""
    failure: dict[str, Any] | None = None
    """Why it goes there, if an attempt failed: "error", "at", and "retry_at", the same as *due* (Unix seconds)."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the schedule knows about one id."""

    now: float
    """Redis's clock, in Unix seconds."""
    due: float | None
    """The instant of its score, in Unix seconds; None if it is not scheduled."""
    attempts: int
    """How many attempts were started and did not end well."""
    failure: dict[str, Any] | None
    """The error of the last one."""
    letter: dict[str, Any] | None
    """Its dead letter."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How the schedule stands. Ranks count from 0, lowest score first, and hold until the next change."""

    now: float
    """Redis's clock, in Unix seconds."""
    scheduled: int
    """How many ids there are."""
    due: int
    """How many of them have a score that has passed: the ranks below."""
    leased: Sequence[range]
    """The ranks of those that a claim holds, in order."""
    dead: int
    """How many dead letters there are."""
    started: int
    """How many ids have attempts that did not end well, or have not ended yet."""
    counters: Mapping[str, float]
    """What the scripts have counted since the beginning, and what was noted."""

    @property
    def swept_at(self) -> float | None:
        """When the last sweep claimed, in Unix seconds."""
        return self.counters.get("swept_at")


@dataclass(frozen=True, slots=True)
class Listed:
    """One id in a list."""

    order_id: str
    due: float
    """The instant of its score, in Unix seconds."""
    attempts: int
    """How many attempts were started and did not end well."""
    failure: dict[str, Any] | None
    """The error of the last one."""


class Resident(NamedTuple):
    """One id as it is in a sorted set, in Redis's own words: empty for what there is not."""

    member: bytes
    score: bytes
    attempts: bytes
    failure: bytes
    letter: bytes
