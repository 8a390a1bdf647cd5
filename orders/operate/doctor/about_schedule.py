"""Checks about what is to be done: sweeps, what is overdue, what is buried, and whether Redis and SQL agree."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from orders.expiry import PAGE
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, warning
from orders.operate.operations import Operations, Where
from orders.store import Outcome

MISSED = 3
"""Sweep intervals without a sweep after which beat counts as dead; see `tasks.worker.watch`."""

SAMPLE = 1000
"""Ids that are compared with the database, and dead letters that are read."""

STALE = 0.05
"""The part of a sample that may be in the schedule though its row is final: a payment whose removal Redis missed."""

GONE = {Outcome.CLOSED, Outcome.MISSING, Outcome.INVALID}


def check_sweeps(patient: Patient) -> Iterator[Finding]:
    """Look when the last sweep was."""
    interval, ago = patient.settings.sweep_interval, Operations(patient.expiry).overview().swept_ago
    if ago is None:
        advice = "Start beat, and a worker for the queue orders.sweep."
        yield error("schedule.sweeps", "no sweep was ever done" + _of_shards(patient), advice)
    elif ago > MISSED * interval:
        advice = "Is beat running, and a worker for the queue orders.sweep? Workers sweep in its place after a while."
        yield error(
            "schedule.sweeps", f"the last sweep was {ago:,.0f} s ago, and one is due every {interval:g} s", advice
        )
    else:
        yield ok("schedule.sweeps", f"the last sweep was {ago:.1f} s ago")


def check_overdue(patient: Patient) -> Iterator[Finding]:
    """Look how long the first one of those that are due has been waiting."""
    operations, settings = Operations(patient.expiry), patient.settings
    overview = operations.overview()
    first = next(iter(operations.page(Where.DUE, size=1, overview=overview).items), None)
    seconds = (overview.now - first.at).total_seconds() if first and first.at else 0.0
    found = f"{overview.counts[Where.DUE]:,} are due and not claimed, the first one for {seconds:,.1f} s"
    if seconds > MISSED * settings.sweep_interval:
        advice = (
            "Workers are behind, or nobody sweeps. Start more workers, and look at schedule.sweeps and at the queues. "
            f"A sweep sends no more than ORDERS_MAX_BACKLOG ({settings.max_backlog:,}) messages ahead of them."
        )
        yield error("schedule.overdue", found, advice)
    else:
        yield ok("schedule.overdue", found)


def check_dead(patient: Patient) -> Iterator[Finding]:
    """Count the dead letters, and tell the commonest reason."""
    schedule = patient.expiry.schedule
    dead = int(schedule.stats()["dead"])
    if not dead:
        yield ok("schedule.dead", "there are no dead letters")
        return
    reasons = Counter(str(letter["reason"])[:120] for _, letter in islice(schedule.dead(), SAMPLE))
    [(reason, number)] = reasons.most_common(1)
    found = f"{dead:,} orders are buried, {number:,} of them because: {reason}"
    advice = "Mend the cause, then `orders dead retry --all`; `orders dead list` names them."
    yield warning("schedule.dead", found, advice)


def check_coverage(patient: Patient) -> Iterator[Finding]:
    """Look whether the schedule has the rows that have been overdue for two runs of reconciling."""
    expiry, minutes = patient.expiry, 2
    rows = expiry.store.pending(overdue=60.0 * minutes, after=None, limit=PAGE)
    lacking = expiry.schedule.uncovered([row.order_id for row in rows])
    found = f"{len(lacking):,} of {len(rows):,} rows that are pending and {minutes} minutes overdue are not scheduled"
    if lacking:
        advice = "Reconciling should have found them: does beat send orders.reconcile? `orders reconcile` does it now."
        yield error("schedule.coverage", found, advice)
    else:
        yield ok("schedule.coverage", found)


def check_drift(patient: Patient) -> Iterator[Finding]:
    """Look, in a sample, for ids that are scheduled though they have no row to expire."""
    expiry = patient.expiry
    shards = expiry.schedule.shards
    sample = [order_id for shard in shards for order_id in shard.sample(max(SAMPLE // len(shards), 1))]
    outcomes = Counter(verdict.outcome for verdict in expiry.store.look(sample).values()) if sample else Counter()
    gone = sum(outcomes[outcome] for outcome in GONE)
    told = ", ".join(f"{outcome.value} {outcomes[outcome]:,}" for outcome in outcomes)
    found = f"of {len(sample):,} scheduled ids, {gone:,} have no pending row ({told or 'none is scheduled'})"
    if gone > STALE * len(sample):
        advice = (
            "Harmless: at their deadlines they are taken out, or buried if they have no row. Does the shop call "
            "orders.pay, or orders.remove, when an order is paid or cancelled? Is ORDERS_TABLE the right one?"
        )
        yield warning("schedule.drift", found, advice)
    else:
        yield ok("schedule.drift", found)


def check_pace(patient: Patient) -> Iterator[Finding]:
    """Look whether what is leased is worked off before the leases end: else all of it is done again."""
    schedule, settings = patient.expiry.schedule, patient.settings
    before, began = _done(patient), time.monotonic()
    leased = Operations(patient.expiry).overview().counts[Where.LEASED]
    if leased < PAGE:
        yield ok("schedule.pace", f"{leased:,} orders are with the workers")
        return
    time.sleep(1.0)  # a rate takes two readings
    rate = (_done(patient) - before) / (time.monotonic() - began)
    seconds = leased / rate if rate else float("inf")
    found = f"{leased:,} orders are with the workers, which do {rate:,.0f} a second: that takes {seconds:,.0f} s"
    if seconds > settings.lease and schedule.swept_at() is not None:
        advice = (
            f"ORDERS_LEASE is {settings.lease:g} s: messages that wait longer are void, and their orders are claimed "
            "again. Raise it, start more workers, or lower ORDERS_MAX_BACKLOG."
        )
        yield error("schedule.pace", found, advice)
    else:
        yield ok("schedule.pace", found)


def check_settings(patient: Patient) -> Iterator[Finding]:
    """Look for settings that are accepted, and do not go together."""
    settings = patient.settings
    if settings.lease < 2 * settings.sweep_interval:
        yield warning(
            "settings.lease",
            f"ORDERS_LEASE is {settings.lease:g} s, less than two intervals of {settings.sweep_interval:g} s",
            "A backlog of a few seconds makes messages void. The default is 120 s.",
        )
    elif patient.expiry.hooks.guard_hook and settings.lease < 4 * settings.guard_timeout:
        yield warning(
            "settings.lease",
            f"ORDERS_LEASE is {settings.lease:g} s, and the guard may take {settings.guard_timeout:g} s each time",
            "Of a batch of orders some are asked about after others: raise it, or lower ORDERS_GUARD_TIMEOUT.",
        )
    else:
        yield ok(
            "settings.lease", f"ORDERS_LEASE is {settings.lease:g} s, with sweeps every {settings.sweep_interval:g} s"
        )


def _done(patient: Patient) -> float:
    stats = patient.expiry.schedule.stats()
    return sum(stats.get(name, 0.0) for name in ("expired", "closed"))


def _of_shards(patient: Patient) -> str:
    shards = len(patient.expiry.schedule.shards)
    return f", of at least one of {shards} shards" if shards > 1 else ""


CHECKS: Mapping[str, Check] = {
    "schedule.sweeps": check_sweeps,
    "schedule.overdue": check_overdue,
    "schedule.dead": check_dead,
    "schedule.coverage": check_coverage,
    "schedule.drift": check_drift,
    "schedule.pace": check_pace,
    "settings.lease": check_settings,
}
