"""The schedule in Redis: a sorted set of order ids by deadline, the keys beside it, and the clients."""

from orders.schedule.aio import AsyncSchedule
from orders.schedule.clients import client, to_sentinels
from orders.schedule.commit_queue import CommitQueue
from orders.schedule.connections import leaving
from orders.schedule.counters import (
    ANSWERS,
    BOUNDS,
    BUCKETS,
    CLOSED,
    EXPIRED,
    KEPT,
    LATENESS,
    LATENESS_SUM,
    MISSING,
    NO_ANSWER,
    REMINDED,
    lateness,
)
from orders.schedule.history import FAILED, PAID, RING, History, quantile, sum_histories
from orders.schedule.inspection import NOTE, PAUSED_UNTIL
from orders.schedule.outages import NOT_REMOVED, NOT_SCHEDULED, Outages
from orders.schedule.records import Claim, Claimed, Entry, Lease, Listed, Move, Paused, Standing
from orders.schedule.rehome import rehome_ids
from orders.schedule.scripts import CHUNK
from orders.schedule.shards import connect_schedule
from orders.schedule.sorted_set import FOREVER, NOTHING, PAUSED, TRIED_BEFORE, Counts, Schedule

__all__ = [
    "ANSWERS",
    "BOUNDS",
    "BUCKETS",
    "CHUNK",
    "CLOSED",
    "EXPIRED",
    "FAILED",
    "FOREVER",
    "KEPT",
    "LATENESS",
    "LATENESS_SUM",
    "MISSING",
    "NOTE",
    "NOTHING",
    "NOT_REMOVED",
    "NOT_SCHEDULED",
    "NO_ANSWER",
    "PAID",
    "PAUSED",
    "PAUSED_UNTIL",
    "REMINDED",
    "RING",
    "TRIED_BEFORE",
    "AsyncSchedule",
    "Claim",
    "Claimed",
    "CommitQueue",
    "Counts",
    "Entry",
    "History",
    "Lease",
    "Listed",
    "Move",
    "Outages",
    "Paused",
    "Schedule",
    "Standing",
    "client",
    "connect_schedule",
    "lateness",
    "leaving",
    "quantile",
    "rehome_ids",
    "sum_histories",
    "to_sentinels",
]
