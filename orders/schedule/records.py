"""The records that methods of the schedule take and return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple


class Lease(NamedTuple):
    """A fencing token and its shard."""

    token: float
    """The end of the lease, as a score."""
    shard: int | None = None
    """The shard of the leased ids; None for the sorted set named ``ORDERS_KEY``."""


class Claimed(NamedTuple):
    """An id that a claim has leased."""

    order_id: str
    due: float
    """Its score before the claim, in Unix seconds: the deadline, or the end of a lease that has run out."""
    attempts: int
    """How many attempts were started before and did not succeed."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of `Schedule.claim`."""

    now: float
    """Redis's clock, in Unix seconds."""
    lease: float
    """The fencing token of all these ids, as a score."""
    lease_ends: float
    """The end of the lease, in Unix seconds."""
    claimed: Sequence[Claimed]


class Paused(NamedTuple):
    """What a sorted set has noted about a pause, in Unix seconds; None for what is not there."""

    since: float | None
    """The begin, by the database's clock; None if only the brake knows of it."""
    until: float | None
    """The end."""
    braked_at: float | None
    """When the brake paused this sorted set, until it is released."""


@dataclass(frozen=True, slots=True)
class Move:
    """The new score of an id; see `Schedule.reschedule`."""

    order_id: str
    due: float
    """Unix seconds."""
    attempts: int = 0
    """The new number of attempts."""
    failure: dict[str, Any] | None = None
    """Why the attempt failed, if it did: "error", "at" and "retry_at", which equals *due* (Unix seconds)."""
    keeps_failure: bool = False
    """Whether the failure of an earlier attempt stays, because the order is given back as it was."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What Redis has about one id."""

    now: float
    """Redis's clock, in Unix seconds."""
    due: float | None
    """Its score in Unix seconds; None if it is not scheduled."""
    attempts: int
    """How many attempts were started and did not succeed."""
    failure: dict[str, Any] | None
    """Why the last attempt failed."""
    letter: dict[str, Any] | None
    """Its dead letter; None if it is not buried."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The counts of one sorted set. Ranks start at 0 for the lowest score, and are valid until the next change."""

    now: float
    """Redis's clock, in Unix seconds."""
    scheduled: int
    """How many ids are in the sorted set."""
    due: int
    """How many of them have a score in the past: the ranks below this number."""
    leased: Sequence[range]
    """The ranks of leased ids, in order."""
    dead: int
    """How many dead letters there are."""
    started: int
    """How many ids have attempts that failed or have not ended yet."""
    counters: Mapping[str, float]
    """The counters and notes of `Keys.stats`."""

    @property
    def swept_at(self) -> float | None:
        """When the last sweep claimed, in Unix seconds."""
        return self.counters.get("swept_at")


@dataclass(frozen=True, slots=True)
class Listed:
    """One id in a list."""

    order_id: str
    due: float
    """Its score in Unix seconds."""
    attempts: int
    """How many attempts were started and did not succeed."""
    failure: dict[str, Any] | None
    """Why the last attempt failed."""


class Resident(NamedTuple):
    """The raw values of one id in Redis; empty for those that do not exist."""

    member: bytes
    score: bytes
    attempts: bytes
    failure: bytes
    letter: bytes
