"""Checks about the database: the orders table, the index that reconciling needs, the table of events."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from orders.operate.doctor import probes as probing
from orders.operate.doctor.about_redis import judge_clock
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, unknown, warning
from orders.store import SqlStore

WAITING = 600.0
"""Seconds that an event may wait: longer than the pauses between a handler's first tries."""

LARGE = 50_000
"""Rows from which on reading all of a table, or sorting it, takes more than some milliseconds."""

FULL = 0.9
"""The part of a database's connections beyond which a deploy, which has old and new processes at once, may fail."""


def check_table(patient: Patient) -> Iterator[Finding]:
    """Look whether the table is there, has the columns, and can be written to."""
    store = _store(patient)
    store.check()
    yield ok("database.table", f"the table {patient.settings.table} has the columns, of types that serve")
    if store.probe(probing.is_read_only):
        advice = "Name the primary in ORDERS_DATABASE_URL. Orders wait, and no attempt is counted."
        yield error("database.writable", "the database takes no writes", advice)
    else:
        yield ok("database.writable", "the database takes writes")


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Compare the database's clock with this host's."""
    clock = _store(patient).probe(probing.clock)
    if clock is None:
        yield ok("database.clock", "the database has no clock of its own: this host's decides")
    else:
        yield judge_clock("database.clock", "the database's clock", clock.ahead, clock.uncertain)


def check_index(patient: Patient) -> Iterator[Finding]:
    """Look whether the database reads overdue rows by an index, in their order."""
    settings = patient.settings
    plan = _store(patient).probe(probing.plan)
    problem, told = scans(plan.lines), "; ".join(plan.lines)
    if problem is None:
        yield ok("database.index", f"reconciling reads overdue rows by an index: {told}")
    elif scans(plan.forced) is None and plan.rows < LARGE:
        yield ok("database.index", "there is an index that reconciling can read by; the table is small, or new")
    elif scans(plan.forced) is None:
        advice = f"Run ANALYZE {settings.table}: its statistics are old, and mislead the planner."
        yield warning("database.index", f"reconciling {problem}, though there is an index: {told}", advice)
    else:
        table, key = settings.table, f"{settings.deadline_column}, {settings.id_column}"
        yield error(
            "database.index",
            f"reconciling {problem}, every minute: {told}",
            f"CREATE INDEX ON {table} ({key}) WHERE {settings.status_column} = '{settings.pending}'; in MySQL and "
            f"MariaDB ON {table} ({settings.status_column}, {key}).",
        )


def scans(plan: Sequence[str]) -> str | None:
    """Return what is wrong with a plan: it reads the whole table, or sorts what it has read. None if nothing is."""
    told = "\n".join(plan)
    if re.search(r"Seq Scan|^SCAN (?!.*INDEX)|type (ALL|index)\b", told, re.MULTILINE):
        return "reads the whole table"
    if re.search(r"\bSort\b|TEMP B-TREE|filesort", told):
        return "reads and sorts all pending rows"
    return None


def check_events(patient: Patient) -> Iterator[Finding]:
    """Look for how long events have been waiting."""
    table = patient.settings.events_table
    waiting = _store(patient).probe(probing.waiting_events)
    if waiting is None:
        advice = "Create it with `orders init-db`, or `manage.py migrate`. Refunds and on_event need it."
        yield warning("database.events", f"there is no table of events {table}", advice)
        return
    number, seconds = waiting
    found = f"{number:,}{' or more' if number == 1000 else ''} events wait, the first one for {seconds:,.0f} s"
    if not patient.expiry.hooks.event_hooks:
        yield ok("database.events", f"the table {table} is there; no handler is registered here")
    elif seconds > WAITING:
        advice = "Look at orders.deliver in Flower, and whether a worker consumes the queue orders.events."
        yield error("database.events", found, advice)
    else:
        yield ok("database.events", found)


def check_connections(patient: Patient) -> Iterator[Finding]:
    """Look how many more connections the database takes."""
    counted = _store(patient).probe(probing.connections)
    if counted is None:
        yield ok("database.connections", "the database has no limit of connections")
        return
    used, limit = counted
    found = f"{used} of {limit} connections are in use"
    yield (
        ok("database.connections", found)
        if used <= FULL * limit
        else warning("database.connections", found, "Raise the limit, run fewer processes, or put a pooler between.")
    )


def _store(patient: Patient) -> SqlStore:
    return cast("SqlStore", patient.expiry.store)


def _of_sql(name: str, check: Check) -> Check:
    def run(patient: Patient) -> Iterator[Finding]:
        if isinstance(patient.expiry.store, SqlStore):
            yield from check(patient)
        else:
            yield unknown(name, f"the store is a {type(patient.expiry.store).__name__}")

    return run


CHECKS: Mapping[str, Check] = {
    "database.table": _of_sql("database.table", check_table),
    "database.clock": _of_sql("database.clock", check_clock),
    "database.index": _of_sql("database.index", check_index),
    "database.events": _of_sql("database.events", check_events),
    "database.connections": _of_sql("database.connections", check_connections),
}
