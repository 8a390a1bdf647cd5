"""The sweep: claim what falls due before the next one, and send it to the workers."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from orders.logs import about
from orders.schedule import CHUNK, Claim, Claimed, Move, Schedule

if TYPE_CHECKING:
    from orders.config import Settings

logger = logging.getLogger(__name__)

SPAN = 0.05
"""Seconds that the deadlines in one batch may lie apart: the first order in it is that much late."""


PAUSE = 0.05
"""Seconds between two looks at a full queue: workers take fewer messages in that time than it holds."""

PATIENCE = 1.0
"""Seconds after which a full queue that nobody takes from is left to the next sweep."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One message to the workers: ids to expire under one lease."""

    order_ids: tuple[str, ...]
    lease: float
    """The fencing token."""
    eta: datetime | None
    """When to start, in UTC; None for at once."""
    expires: datetime
    """When the lease ends and the message is void, in UTC."""
    shard: int | None = None
    """Where the lease holds; see `orders.schedule.Lease`."""


class Publisher(Protocol):
    """What carries messages to the workers."""

    def backlog(self) -> int:
        """Return how many messages wait for a worker."""
        ...

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        """Send messages. If it raises, any of them may or may not have been sent."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did."""

    claimed: int
    """Orders."""
    sent: int
    """Messages."""
    seconds: float


def run_sweep(
    schedule: Schedule,
    publisher: Publisher,
    settings: Settings,
    *,
    seconds: float | None = None,
    is_stopping: Callable[[], bool] = lambda: False,
    monotonic: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Swept:
    """Claim and send until nothing falls due before the next sweep, or that one begins.

    While the queue is full it waits for room, if somebody makes some: a sweep that runs in the only process there is
    must end for the queue to be worked off. Any number of sweeps may run at once: no id is claimed by two.

    Args:
        schedule: what falls due; one shard, if there are several.
        publisher: carries it to the workers.
        settings: the settings.
        seconds: how long, at most; by default the sweep interval.
        is_stopping: tells whether this process was asked to stop; the sweep then ends with the claim that it is at.
        monotonic: seconds from any beginning.
        sleep: waits for so many seconds, or until this process is asked to stop.

    Raises:
        Exception: what the publisher raised. What it was given is released, and is due again at once.
    """
    began, most = monotonic(), settings.sweep_interval if seconds is None else seconds
    flood = schedule.due(ahead=settings.lookahead) > settings.batch_threshold
    batch_size = settings.batch_size if flood else 1
    claimed = sent = 0
    enough = max(min(CHUNK, settings.max_backlog // 2), 1)
    seen, since = sys.maxsize, began
    while monotonic() - began < most and not is_stopping():
        backlog = publisher.backlog()
        # No claim becomes more messages than it has ids, however it is split: there is room for all of them.
        limit = min(settings.max_backlog - backlog, CHUNK)
        if limit < enough:
            schedule.note("swept_at", schedule.now())  # it was here, though it had no room to claim
            if backlog < seen:
                seen, since = backlog, monotonic()
            elif monotonic() - since >= PATIENCE:
                break
            sleep(PAUSE)
            continue
        seen = sys.maxsize
        claim = schedule.claim(limit)
        dispatches = list(_dispatches(claim, batch_size, schedule.number))
        _publish(schedule, publisher, claim, dispatches)
        claimed += len(claim.claimed)
        sent += len(dispatches)
        if len(claim.claimed) < limit:
            break
    return Swept(claimed, sent, round(monotonic() - began, 3))


def _publish(schedule: Schedule, publisher: Publisher, claim: Claim, dispatches: Sequence[Dispatch]) -> None:
    if not dispatches:
        return
    try:
        publisher.publish(dispatches)
    except BaseException:
        # Back to where they were. Messages that did go out are void: their fence is gone.
        moves = [Move(claimed.order_id, claimed.due, claimed.attempts) for claimed in claim.claimed]
        released = schedule.reschedule(claim.lease, moves)
        told = about("released", lease=claim.lease, released=released, claimed=len(moves))
        logger.warning("publishing failed: released %d of %d claimed orders", released, len(moves), extra=told)
        raise


def _dispatches(claim: Claim, batch_size: int, shard: int | None) -> Iterator[Dispatch]:
    for group in _groups(claim, batch_size):
        due = max(claimed.due for claimed in group)
        yield Dispatch(
            order_ids=tuple(claimed.order_id for claimed in group),
            lease=claim.lease,
            eta=datetime.fromtimestamp(due, UTC) if due > claim.now else None,
            expires=datetime.fromtimestamp(claim.lease_ends, UTC),
            shard=shard,
        )


def _groups(claim: Claim, batch_size: int) -> Iterator[list[Claimed]]:
    """Split a claim into batches of neighbouring deadlines; an order that was tried before goes alone."""
    group: list[Claimed] = []
    for claimed in claim.claimed:
        if claimed.attempts:
            yield [claimed]
            continue
        full = len(group) == batch_size
        if group and (full or claimed.due - max(group[0].due, claim.now) > SPAN):
            yield group
            group = []
        group.append(claimed)
    if group:
        yield group
