"""Checks of the Redis of the schedule; in a cluster, of each of its masters."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from redis.exceptions import NoPermissionError

from orders.errors import ScheduleError
from orders.expiry import SKEW
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, unknown, warning

OLDEST = (6, 2)
"""The first version with ``ZMSCORE`` and ``ZADD LT``."""

FULL = 0.8
"""The share of maxmemory above which there is too little room for a flash sale."""

BEHIND = 10.0
"""Seconds that a replica may be behind: the default of Redis's ``min-replicas-max-lag``."""

_GRANT = "To enable this check, grant +info to the user: ACL SETUSER … +info."


def check_version(patient: Patient) -> Iterator[Finding]:
    """Check that each server is new enough."""
    for name, info in _servers(patient, "server"):
        version = str(info["redis_version"])
        is_new = tuple(map(int, version.split(".")[:2])) >= OLDEST
        found = f"{name} has version {version}"
        yield (
            ok("redis.version", found)
            if is_new
            else error("redis.version", found, f"Upgrade it to {OLDEST[0]}.{OLDEST[1]} or newer.")
        )


def check_eviction(patient: Patient) -> Iterator[Finding]:
    """Check that no server evicts keys when its memory is full, and how full it is."""
    for name, info in _servers(patient, "memory"):
        policy, limit, used = str(info["maxmemory_policy"]), int(info["maxmemory"]), int(info["used_memory"])
        if policy != "noeviction":
            yield error(
                "redis.eviction",
                f"{name} has maxmemory-policy {policy}: when its memory is full, it evicts keys, and so the schedule",
                "Set maxmemory-policy noeviction. Reconcile finds evicted orders, but late and all at once.",
            )
        else:
            yield ok("redis.eviction", f"{name} has maxmemory-policy noeviction")
        share = used / limit if limit else 0.0
        found = f"{name} uses {used / 1e6:,.0f} MB" + (f" of {limit / 1e6:,.0f} MB" if limit else ", and has no limit")
        yield (
            ok("redis.memory", found)
            if share <= FULL
            else warning("redis.memory", found, "Give it more memory, or use shards on more servers (ORDERS_SHARDS).")
        )


def check_persistence(patient: Patient) -> Iterator[Finding]:
    """Check that a server keeps its data across a restart."""
    for name, info in _servers(patient, "persistence"):
        if info["aof_enabled"] and info.get("aof_last_write_status") != "ok":
            advice = "Check its log and its disk: it may reject writes."
            yield error("redis.persistence", f"{name} cannot write its append-only file", advice)
        elif info["aof_enabled"]:
            yield ok("redis.persistence", f"{name} writes an append-only file")
        else:
            yield warning(
                "redis.persistence",
                f"{name} writes no append-only file: a restart loses what was scheduled since the last snapshot",
                "Set appendonly yes. Reconcile finds overdue orders only; after a loss, run `orders reconcile --all`.",
            )


def check_replication(patient: Patient) -> Iterator[Finding]:
    """Check that the schedule is on a master, and how far its replicas are behind."""
    for name, info in _servers(patient, "replication"):
        if info["role"] != "master":
            found = f"{name} is a replica of {info.get('master_host')}:{info.get('master_port')}"
            yield error("redis.replication", found, "Set ORDERS_REDIS_URL to the master, or to Sentinels.")
            continue
        replicas = [info[f"slave{number}"] for number in range(int(info["connected_slaves"]))]
        late = [each for each in replicas if each["state"] != "online" or float(each["lag"]) > BEHIND]
        for each in late:
            found = f"{name} has a replica {each['ip']}:{each['port']}: {each['state']}, {each['lag']} s behind"
            yield warning(
                "redis.replication",
                found,
                "Check the replica and the network: a failover would lose the latest writes.",
            )
        if not late:
            yield ok("redis.replication", f"{name} is a master, and none of its replicas ({len(replicas)}) is behind")


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Compare Redis's clock with this host's, up to half the round trip."""
    schedule = patient.expiry.schedule
    schedule.now()  # connects
    before = time.time()
    redis_time = schedule.now()
    after = time.time()
    yield judge_clock("redis.clock", "Redis's clock", redis_time - (before + after) / 2, (after - before) / 2)


def judge_clock(name: str, clock: str, ahead: float, uncertain: float) -> Finding:
    """Return a finding about the difference of a clock from this host's.

    Args:
        name: the name of the check.
        clock: which clock, for the text.
        ahead: how many seconds it is ahead of this host's.
        uncertain: the possible error of *ahead*, in seconds.
    """
    found = f"{clock} differs from this host's by {ahead:+.3f} s (± {uncertain:.3f} s)"
    if abs(ahead) - uncertain <= SKEW:
        return ok(name, found)
    return warning(name, found, "Run NTP on both hosts. Orders expire by the database's clock, sweeps by Redis's.")


def _servers(patient: Patient, section: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    try:
        yield from patient.expiry.schedule.servers(section)
    except ScheduleError as problem:
        if not isinstance(problem.__cause__, NoPermissionError):
            raise
        raise _Forbidden from problem


class _Forbidden(Exception):
    """The user may not run ``INFO``."""


def _with_info(name: str, check: Check) -> Check:
    def run(patient: Patient) -> Iterator[Finding]:
        try:
            yield from check(patient)
        except _Forbidden:
            yield unknown(name, "the user of ORDERS_REDIS_URL may not run INFO", _GRANT)

    return run


CHECKS: Mapping[str, Check] = {
    "redis.clock": check_clock,
    "redis.version": _with_info("redis.version", check_version),
    "redis.eviction": _with_info("redis.eviction", check_eviction),
    "redis.persistence": _with_info("redis.persistence", check_persistence),
    "redis.replication": _with_info("redis.replication", check_replication),
}
