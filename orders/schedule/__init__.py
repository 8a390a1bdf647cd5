"""The schedule in Redis: a sorted set of order ids by deadline, the keys beside it, and the clients."""

from orders.schedule.aio import AsyncSchedule
from orders.schedule.clients import client, to_sentinels
from orders.schedule.commit_queue import CommitQueue
from orders.schedule.counters import (
    ANSWERS,
    BOUNDS,
    BUCKETS,
    CLOSED,
    EXPIRED,
    LATENESS,
    LATENESS_SUM,
    NO_ANSWER,
    lateness,
)
from orders.schedule.outages import NOT_REMOVED, NOT_SCHEDULED, Outages
from orders.schedule.records import Claim, Claimed, Entry, Lease, Listed, Move, Standing
from orders.schedule.rehome import rehome_ids
from orders.schedule.scripts import CHUNK
from orders.schedule.shards import connect_schedule
from orders.schedule.sorted_set import NOTHING, TRIED_BEFORE, Counts, Schedule

__all__ = [
    "ANSWERS",
    "BOUNDS",
    "BUCKETS",
    "CHUNK",
    "CLOSED",
    "EXPIRED",
    "LATENESS",
    "LATENESS_SUM",
    "NOTHING",
    "NOT_REMOVED",
    "NOT_SCHEDULED",
    "NO_ANSWER",
    "TRIED_BEFORE",
    "AsyncSchedule",
    "Claim",
    "Claimed",
    "CommitQueue",
    "Counts",
    "Entry",
    "Lease",
    "Listed",
    "Move",
    "Outages",
    "Schedule",
    "Standing",
    "client",
    "connect_schedule",
    "lateness",
    "rehome_ids",
    "to_sentinels",
]
