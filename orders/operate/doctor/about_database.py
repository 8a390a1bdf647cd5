"""Checks of the database: the orders table, the index for reconcile, the events table, the connections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from orders.operate.doctor import probes
from orders.operate.doctor.about_redis import judge_clock
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, unknown, warning
from orders.store import SqlStore

WAITING = 600.0
"""Seconds that an event may wait: longer than the pauses between the first tries of a handler."""

LARGE = 50_000
"""Rows above which reading or sorting a whole table takes more than some milliseconds."""

FULL = 0.9
"""The share of connections above which a deploy may fail, because it runs old and new processes at once."""


def check_table(patient: Patient) -> Iterator[Finding]:
    """Check that the table exists, has all columns, and can be written to."""
    store = _store(patient)
    store.check()
    yield ok("database.table", f"the table {patient.settings.table} has all columns, with suitable types")
    if store.probe(probes.is_read_only):
        advice = "Set ORDERS_DATABASE_URL to the primary. Until then orders wait, and no attempt is counted."
        yield error("database.writable", "the database is read-only", advice)
    else:
        yield ok("database.writable", "the database accepts writes")


def check_clock(patient: Patient) -> Iterator[Finding]:
    """Compare the database's clock with this host's."""
    clock = _store(patient).probe(probes.clock)
    if clock is None:
        yield ok("database.clock", "the database has no clock of its own, so this host's clock is used")
    else:
        yield judge_clock("database.clock", "the database's clock", clock.ahead, clock.uncertain)


def check_index(patient: Patient) -> Iterator[Finding]:
    """Check that the database reads overdue rows through an index, without sorting."""
    settings = patient.settings
    plan = _store(patient).probe(probes.plan)
    problem, lines = scans(plan.lines), "; ".join(plan.lines)
    if problem is None:
        yield ok("database.index", f"reconcile reads overdue rows through an index: {lines}")
    elif scans(plan.forced) is None and plan.rows < LARGE:
        yield ok(
            "database.index",
            "there is an index for reconcile, not used yet because the table is small or new",
        )
    elif scans(plan.forced) is None:
        advice = f"Run ANALYZE {settings.table}: the planner's statistics are out of date."
        yield warning("database.index", f"reconcile {problem} although there is an index: {lines}", advice)
    else:
        table, key = settings.table, f"{settings.deadline_column}, {settings.id_column}"
        yield error(
            "database.index",
            f"reconcile {problem} every minute: {lines}",
            f"CREATE INDEX ON {table} ({key}) WHERE {settings.status_column} = '{settings.pending}'; in MySQL and "
            f"MariaDB: ON {table} ({settings.status_column}, {key}).",
        )


def scans(plan: Sequence[str]) -> str | None:
    """Return how a plan fails to use an index: it reads the whole table, or sorts. None if it uses one."""
    text = "\n".join(plan)
    if re.search(r"Seq Scan|^SCAN (?!.*INDEX)|type (ALL|index)\b", text, re.MULTILINE):
        return "reads the whole table"
    if re.search(r"\bSort\b|TEMP B-TREE|filesort", text):
        return "reads and sorts all pending rows"
    return None


def check_events(patient: Patient) -> Iterator[Finding]:
    """Check how long events have been waiting."""
    table = patient.settings.events_table
    waiting = _store(patient).probe(probes.waiting_events)
    if waiting is None:
        advice = "Create it with `orders init-db` or `manage.py migrate`. Refunds and on_event need it."
        yield warning("database.events", f"the events table {table} does not exist", advice)
        return
    number, seconds = waiting
    found = f"waiting events: {number:,}{' or more' if number == 1000 else ''}, the oldest for {seconds:,.0f} s"
    if not patient.expiry.hooks.event_hooks:
        yield ok("database.events", f"the events table {table} exists; no handler is registered in this process")
    elif seconds > WAITING:
        advice = "Check orders.deliver in Flower. Does a worker consume the queue orders.events?"
        yield error("database.events", found, advice)
    else:
        yield ok("database.events", found)


def check_connections(patient: Patient) -> Iterator[Finding]:
    """Check how many connections are left."""
    counted = _store(patient).probe(probes.connections)
    if counted is None:
        yield ok("database.connections", "the database does not limit connections")
        return
    used, limit = counted
    found = f"{used} of {limit} connections are in use"
    yield (
        ok("database.connections", found)
        if used <= FULL * limit
        else warning("database.connections", found, "Raise the limit, run fewer processes, or use a connection pooler.")
    )


def _store(patient: Patient) -> SqlStore:
    return cast("SqlStore", patient.expiry.store)


def _with_sql(name: str, check: Check) -> Check:
    def run(patient: Patient) -> Iterator[Finding]:
        if isinstance(patient.expiry.store, SqlStore):
            yield from check(patient)
        else:
            yield unknown(name, f"the store is a {type(patient.expiry.store).__name__}, not an SqlStore")

    return run


CHECKS: Mapping[str, Check] = {
    "database.table": _with_sql("database.table", check_table),
    "database.clock": _with_sql("database.clock", check_clock),
    "database.index": _with_sql("database.index", check_index),
    "database.events": _with_sql("database.events", check_events),
    "database.connections": _with_sql("database.connections", check_connections),
}
