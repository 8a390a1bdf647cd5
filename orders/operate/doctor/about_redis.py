"""Checks about the Redis of the schedule: each of its servers, if it is a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import NoPermissionError

from orders.errors import ScheduleError
from orders.expiry import SKEW
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, unknown, warning

OLDEST = (6, 2)
"""``ZMSCORE`` and ``ZADD LT`` are from this version on."""

FULL = 0.8
"""The part of maxmemory beyond which there is too little room for a flash sale."""

BEHIND = 10.0
"""Seconds that a replica may be behind: Redis's own ``min-replicas-max-lag``."""

_ASK = "Grant its user +info to have it checked: ACL SETUSER … +info."


def check_version(patient: Patient) -> Iterator[Finding]:
    """Look whether each server is new enough."""
    for name, info in _servers(patient, "server"):
        told = str(info["redis_version"])
        is_new = tuple(map(int, told.split(".")[:2])) >= OLDEST
        found = f"{name} is version {told}"
        yield (
            ok("redis.version", found)
            if is_new
            else error("redis.version", found, f"Upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer.")
        )


def check_eviction(patient: Patient) -> Iterator[Finding]:
    """Look whether a server evicts keys when its memory is full, and how full it is."""
    for name, info in _servers(patient, "memory"):
        policy, limit, used = str(info["maxmemory_policy"]), int(info["maxmemory"]), int(info["used_memory"])
        if policy != "noeviction":
            yield error(
                "redis.eviction",
                f"{name} has maxmemory-policy {policy}: when its memory is full it drops keys, the schedule among them",
                "Set maxmemory-policy noeviction. What is dropped is found by reconciling, late, and all at once.",
            )
        else:
            yield ok("redis.eviction", f"{name} refuses rather than evicts")
        share = used / limit if limit else 0.0
        found = f"{name} uses {used / 1e6:,.0f} MB" + (f" of {limit / 1e6:,.0f} MB" if limit else ", without a limit")
        yield (
            ok("redis.memory", found)
            if share <= FULL
            else warning("redis.memory", found, "Give it more memory, or spread the schedule: see ORDERS_SHARDS.")
        )


def check_persistence(patient: Patient) -> Iterator[Finding]:
    """Look whether a server keeps its data over a restart."""
    for name, info in _servers(patient, "persistence"):
        if info["aof_enabled"] and info.get("aof_last_write_status") != "ok":
            advice = "Look at its log and its disk: it may refuse writes."
            yield error("redis.persistence", f"{name} cannot write its append-only file", advice)
        elif info["aof_enabled"]:
            yield ok("redis.persistence", f"{name} writes an append-only file")
        else:
            yield warning(
                "redis.persistence",
                f"{name} writes no append-only file: a restart forgets what was scheduled since its last snapshot",
                "Set appendonly yes. What is overdue is found by reconciling; after a loss, `orders reconcile --all`.",
            )


def check_replication(patient: Patient) -> Iterator[Finding]:
    """Look whether we write to a master, and how far its replicas are behind."""
    for name, info in _servers(patient, "replication"):
        if info["role"] != "master":
            found = f"{name} is a replica of {info.get('master_host')}:{info.get('master_port')}"
            yield error("redis.replication", found, "Name the master in ORDERS_REDIS_URL, or let Sentinels do so.")
            continue
        replicas = [info[f"slave{number}"] for number in range(int(info["connected_slaves"]))]
        late = [each for each in replicas if each["state"] != "online" or float(each["lag"]) > BEHIND]
        for each in late:
            found = f"{name} has a replica {each['ip']}:{each['port']}: {each['state']}, {each['lag']} s behind"
            yield warning(
                "redis.replication", found, "Look at it, and at the network: a failover would lose that much."
            )
        if not late:
            yield ok("redis.replication", f"{name} is a master with {len(replicas)} replicas, none of them behind")


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Compare Redis's clock with this host's, as exactly as the way there and back allows."""
    schedule = patient.expiry.schedule
    schedule.now()  # connects
    before = time.time()
    theirs = schedule.now()
    after = time.time()
    yield judge_clock("redis.clock", "Redis's clock", theirs - (before + after) / 2, (after - before) / 2)


def judge_clock(name: str, whose: str, ahead: float, uncertain: float) -> Finding:
    """Return what a clock's difference from this host's means.

    Args:
        name: of the check.
        whose: clock.
        ahead: seconds that it is ahead of this host's.
        uncertain: seconds by which that may be wrong.
    """
    found = f"{whose} is {ahead:+.3f} s from this host's (± {uncertain:.3f} s)"
    if abs(ahead) - uncertain <= SKEW:
        return ok(name, found)
    return warning(name, found, "Run NTP on both. Orders expire by the database's clock, and sweeps go by Redis's.")


def _servers(patient: Patient, section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        yield from patient.expiry.schedule.servers(section)
    except ScheduleError as problem:
        if not isinstance(problem.__cause__, NoPermissionError):
            raise
        raise _Forbidden from problem


class _Forbidden(Exception):
    """The user may not ask."""


def _asked(name: str, check: Check) -> Check:
    def run(patient: Patient) -> Iterator[Finding]:
        try:
            yield from check(patient)
        except _Forbidden:
            yield unknown(name, "the user of ORDERS_REDIS_URL may not ask for INFO", _ASK)

    return run


CHECKS: Mapping[str, Check] = {
    "redis.clock": check_clock,
    "redis.version": _asked("redis.version", check_version),
    "redis.eviction": _asked("redis.eviction", check_eviction),
    "redis.persistence": _asked("redis.persistence", check_persistence),
    "redis.replication": _asked("redis.replication", check_replication),
}
