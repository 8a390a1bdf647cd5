"""Checks of sweeps, overdue orders, dead letters, and of the schedule against the database."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from orders.config import misspelt, strangers
from orders.expiry import PAGE
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, unknown, warning
from orders.operate.lists import Where
from orders.operate.operations import Operations
from orders.operate.wording import counted
from orders.store import Outcome

MISSED = 3
"""Sweep intervals without a sweep after which beat counts as dead; see `tasks.worker.watch`."""

SAMPLE = 1000
"""How many ids to compare with the database, and how many dead letters to read."""

STALE = 0.05
"""The share of a sample that may have no pending row, because Redis was down after a payment."""

GONE = {Outcome.CLOSED, Outcome.MISSING, Outcome.INVALID}


def check_sweeps(patient: Patient) -> Iterator[Finding]:
    """Check when the last sweep ran."""
    interval, ago = patient.settings.sweep_interval, Operations(patient.expiry).overview().swept_ago
    if ago is None:
        advice = "Start beat, and a worker for the queue orders.sweep."
        yield error("schedule.sweeps", "no sweep has run yet" + _for_shards(patient), advice)
    elif ago > MISSED * interval:
        advice = "Is beat running, and a worker for the queue orders.sweep? After a while, workers replace beat."
        yield error(
            "schedule.sweeps", f"the last sweep was {ago:,.0f} s ago, and one is due every {interval:g} s", advice
        )
    else:
        yield ok("schedule.sweeps", f"the last sweep was {ago:.1f} s ago")


def check_beat(patient: Patient) -> Iterator[Finding]:
    """Check that beat sends the tasks, and no worker in its place."""
    rescued = patient.expiry.schedule.rescued()
    if rescued:
        found = f"beat does not send {', '.join(rescued)}: a worker sent the last one in its place"
        advice = "Start beat, and a worker for the queue of each task. Until then, each runs a third as often."
        yield error("schedule.beat", found, advice)
    else:
        yield ok("schedule.beat", "no worker sends tasks in place of beat")


def check_owner(patient: Patient) -> Iterator[Finding]:
    """Check that the schedule belongs to the database of this process."""
    ownership = patient.expiry.ownership
    owner = ownership.owner()
    if ownership.mine is None:
        advice = "Create it with `orders init-db`. It holds the identity of the database."
        yield unknown("schedule.owner", "without an events table, the database has no identity", advice)
    elif owner == ownership.mine:
        yield ok("schedule.owner", f"the schedule belongs to the {owner}")
    else:
        advice = (
            "Give each deployment an ORDERS_KEY or a Redis of its own. If this is the same shop with another database, "
            "run `orders adopt`."
        )
        found = f"the schedule belongs to the {owner}, and the orders of this process are in the {ownership.mine}"
        yield error("schedule.owner", found, advice)


def check_overdue(patient: Patient) -> Iterator[Finding]:
    """Check how long the oldest due order has been waiting for a claim."""
    operations, settings = Operations(patient.expiry), patient.settings
    overview = operations.overview()
    first = next(iter(operations.page(Where.DUE, size=1, overview=overview).items), None)
    seconds = (overview.now - first.at).total_seconds() if first and first.at else 0.0
    found = f"{counted(overview.counts[Where.DUE], 'order')} due and not claimed, the oldest for {seconds:,.1f} s"
    if seconds > MISSED * settings.sweep_interval and not overview.is_paused:  # see schedule.pause
        advice = (
            "Workers are behind, or no sweeps run. Check schedule.sweeps and the queues, and start more workers. "
            f"A sweep sends no more than ORDERS_MAX_BACKLOG ({settings.max_backlog:,}) messages ahead of them."
        )
        yield error("schedule.overdue", found, advice)
    else:
        yield ok("schedule.overdue", found)


def check_dead(patient: Patient) -> Iterator[Finding]:
    """Count the dead letters, and find their most common reason."""
    schedule = patient.expiry.schedule
    dead = int(schedule.stats()["dead"])
    if not dead:
        yield ok("schedule.dead", "there are no dead letters")
        return
    reasons = Counter(str(letter["reason"])[:120] for _, letter in islice(schedule.dead(), SAMPLE))
    [(reason, number)] = reasons.most_common(1)
    found = f"dead letters: {dead:,}; most common reason ({number:,} of {reasons.total():,}): {reason}"
    advice = "Fix the cause, then run `orders dead requeue --all`. `orders dead list` shows them."
    yield warning("schedule.dead", found, advice)


def check_coverage(patient: Patient) -> Iterator[Finding]:
    """Check that the schedule has all rows that have been overdue for two runs of reconcile."""
    expiry, minutes = patient.expiry, 2
    rows = expiry.store.pending(overdue=60.0 * minutes, after=None, limit=PAGE)
    lacking = expiry.schedule.uncovered([row.order_id for row in rows])
    found = f"{len(lacking):,} of {counted(len(rows), 'row')}, pending and {minutes} minutes overdue, not scheduled"
    if lacking:
        advice = (
            "Reconcile should have scheduled them. Does beat send orders.reconcile? Run it now: `orders reconcile`."
        )
        yield error("schedule.coverage", found, advice)
    else:
        yield ok("schedule.coverage", found)


def check_drift(patient: Patient) -> Iterator[Finding]:
    """Count the ids without a pending row in a sample of the schedule."""
    expiry = patient.expiry
    shards = expiry.schedule.shards
    sample = [order_id for shard in shards for order_id in shard.sample(max(SAMPLE // len(shards), 1))]
    outcomes = Counter(verdict.outcome for verdict in expiry.store.look(sample).values()) if sample else Counter()
    gone = sum(outcomes[outcome] for outcome in GONE)
    counts = ", ".join(f"{outcome.value} {outcomes[outcome]:,}" for outcome in outcomes)
    counts = counts or "the schedule is empty"
    found = f"of {counted(len(sample), 'scheduled id')}, {gone:,} without a pending row ({counts})"
    if gone > STALE * len(sample):
        advice = (
            "Harmless: at their deadlines, workers settle them, or bury them if they have no row. Does the application "
            "call orders.pay or orders.remove when an order is paid or cancelled? Is ORDERS_TABLE the right table?"
        )
        yield warning("schedule.drift", found, advice)
    else:
        yield ok("schedule.drift", found)


def check_pace(patient: Patient) -> Iterator[Finding]:
    """Check that workers finish the leased orders before the leases end. Otherwise all are claimed again."""
    schedule, settings = patient.expiry.schedule, patient.settings
    before, started_at = _done(patient), time.monotonic()
    leased = Operations(patient.expiry).overview().counts[Where.LEASED]
    if leased < PAGE:
        yield ok("schedule.pace", f"{counted(leased, 'order')} leased")
        return
    time.sleep(1.0)  # to measure a rate
    rate = (_done(patient) - before) / (time.monotonic() - started_at)
    seconds = leased / rate if rate else float("inf")
    found = f"{leased:,} orders are leased, and workers finish {rate:,.0f} per second: that takes {seconds:,.0f} s"
    if seconds > settings.lease and schedule.swept_at() is not None:
        advice = (
            f"ORDERS_LEASE is {settings.lease:g} s: messages that wait longer expire, and their orders are claimed "
            "again. Raise ORDERS_LEASE, start more workers, or lower ORDERS_MAX_BACKLOG."
        )
        yield error("schedule.pace", found, advice)
    else:
        yield ok("schedule.pace", found)


def check_settings(patient: Patient) -> Iterator[Finding]:
    """Check for valid settings that do not fit together."""
    settings = patient.settings
    least = 2 * settings.lookahead + settings.sweep_interval
    if settings.lease < least:
        yield warning(
            "settings.lease",
            f"ORDERS_LEASE is {settings.lease:g} s, less than twice ORDERS_LOOKAHEAD and an interval, {least:g} s",
            "With a backlog of a few seconds, or if a message is lost, a sweep may claim orders again before a worker "
            "could start the message of the last sweep. The default is 120 s.",
        )
    elif patient.expiry.hooks.guard_hook and settings.lease < 4 * settings.guard_timeout:
        yield warning(
            "settings.lease",
            f"ORDERS_LEASE is {settings.lease:g} s, and the guard may take {settings.guard_timeout:g} s per call",
            "A batch of orders takes several calls in a row. Raise ORDERS_LEASE, or lower ORDERS_GUARD_TIMEOUT.",
        )
    else:
        yield ok(
            "settings.lease", f"ORDERS_LEASE is {settings.lease:g} s, with sweeps every {settings.sweep_interval:g} s"
        )


def check_names(_: Patient) -> Iterator[Finding]:
    """Check the environment of this process for misspelt settings."""
    wrong, others = misspelt(os.environ), strangers(os.environ)
    if wrong:
        meant = "; ".join(f"{name} is not a setting: did you mean {setting}?" for name, setting in wrong.items())
        advice = "It is ignored. Correct the name in the environment of all processes, and restart them."
        yield warning("settings.names", meant, advice)
    elif others:
        yield ok("settings.names", f"no setting is misspelt; not ours: {', '.join(others)}")
    else:
        yield ok("settings.names", "all ORDERS_* variables in the environment of this process are settings")


def _done(patient: Patient) -> float:
    stats = patient.expiry.schedule.stats()
    return sum(stats.get(name, 0.0) for name in ("expired", "closed"))


def _for_shards(patient: Patient) -> str:
    shards = len(patient.expiry.schedule.shards)
    return f" for at least one of {shards} shards" if shards > 1 else ""


CHECKS: Mapping[str, Check] = {
    "schedule.sweeps": check_sweeps,
    "schedule.beat": check_beat,
    "schedule.owner": check_owner,
    "schedule.overdue": check_overdue,
    "schedule.dead": check_dead,
    "schedule.coverage": check_coverage,
    "schedule.drift": check_drift,
    "schedule.pace": check_pace,
    "settings.lease": check_settings,
    "settings.names": check_names,
}
