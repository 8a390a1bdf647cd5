"""The sweep: claim the orders that fall due before the next sweep, and send them to the workers."""

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
"""Seconds by which the deadlines in one batch may differ: its first order is late by that much."""

PAUSE = 0.05
"""Seconds between two checks of a full queue: workers cannot empty it in that time."""

PATIENCE = 1.0
"""Seconds after which the sweep gives up on a full queue from which no worker takes messages."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One message to the workers: ids to expire under one lease."""

    order_ids: tuple[str, ...]
    lease: float
    """The fencing token."""
    eta: datetime | None
    """When to start, in UTC; None for immediately."""
    expires: datetime
    """When the lease ends and the message expires, in UTC."""
    shard: int | None = None
    """The shard in which the lease holds; see `orders.schedule.Lease`."""


class Publisher(Protocol):
    """Sends messages to the workers."""

    def backlog(self) -> int:
        """Return how many messages are waiting for a worker."""
        ...

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        """Send messages. If this raises, some of them may have been sent."""
        ...


@dataclass(frozen=True, slots=True)
class Swept:
    """What a sweep did."""

    claimed: int
    """Orders that were claimed."""
    sent: int
    """Messages that were sent."""
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
    """Claim and send until nothing falls due before the next sweep, or until that one begins.

    If the queue is full, the sweep waits while workers make room. It ends if they do not, because its own process may
    be the only worker. Sweeps may run at the same time: no id is claimed by two.

    Args:
        schedule: the schedule; with shards, one of them.
        publisher: sends messages to the workers.
        settings: the settings.
        seconds: the longest time to run; by default the sweep interval.
        is_stopping: returns whether this process was asked to stop. The sweep then ends after its current claim.
        monotonic: a monotonic clock, in seconds.
        sleep: sleeps for a number of seconds, or until this process is asked to stop.

    Raises:
        Exception: the publisher failed. The claimed orders are released and are due again at once.
    """
    began, most = monotonic(), settings.sweep_interval if seconds is None else seconds
    flood = schedule.due(ahead=settings.lookahead) > settings.batch_threshold
    batch_size = settings.batch_size if flood else 1
    claimed = sent = 0
    enough = max(min(CHUNK, settings.max_backlog // 2), 1)
    seen, since = sys.maxsize, began
    while monotonic() - began < most and not is_stopping():
        backlog = publisher.backlog()
        # A claim becomes at most one message per id, so there is room for all its messages.
        limit = min(settings.max_backlog - backlog, CHUNK)
        if limit < enough:
            schedule.note("swept_at", schedule.now())  # this sweep ran, although there was no room to claim
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
        # Restore the old scores. Messages that were sent do nothing: their lease no longer holds.
        moves = [Move(claimed.order_id, claimed.due, claimed.attempts) for claimed in claim.claimed]
        released = schedule.reschedule(claim.lease, moves)
        fields = about("released", lease=claim.lease, released=released, claimed=len(moves))
        logger.warning("publishing failed: released %d of %d claimed orders", released, len(moves), extra=fields)
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
    """Split a claim into batches of close deadlines; an order that was tried before gets a batch of its own."""
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
