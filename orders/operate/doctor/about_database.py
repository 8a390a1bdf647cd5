"""Checks of the database: the orders table, the index for reconcile, the events table, the connections."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from orders.errors import StoreUnavailable
from orders.operate.doctor import probes
from orders.operate.doctor.about_redis import judge_clock
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, unknown, warning
from orders.operate.doctor.rights import missing_rights
from orders.operate.wording import counted
from orders.store import READ_COMMITTED, SqlStore

WAITING = 600.0
"""Seconds that an event may wait: longer than the pauses between the first tries of a handler."""

LARGE = 50_000
"""Rows above which reading or sorting a whole table takes more than some milliseconds."""

_PRIMARY = "Set ORDERS_DATABASE_URL to the primary. Until then orders wait, and no attempt is counted."

FULL = 0.9
"""The share of connections above which a deploy may fail, because it runs old and new processes at once."""


def check_table(patient: Patient) -> Iterator[Finding]:
    """Check that the table exists and has all columns."""
    _store(patient).check()
    yield ok("database.table", f"the table {patient.settings.table} has all columns, with suitable types")


def check_writable(patient: Patient) -> Iterator[Finding]:
    """Check that the database accepts writes, and that the user may do all that we do."""
    store, name = _store(patient), "database.writable"
    store.check()  # a database that cannot be reached is another finding
    try:
        is_read_only, missing = store.probe(probes.is_read_only), store.probe(missing_rights)
    except StoreUnavailable as problem:
        yield error(name, f"the database accepts no writes: {problem}", _PRIMARY)
        return
    if is_read_only:
        yield error(name, "the database is read-only", _PRIMARY)
    elif missing:
        yield error(name, f"the database user {missing.user} may not do all that we do", " ".join(missing.grants))
    else:
        yield ok(name, "the database accepts writes, and its user has the rights on our tables")


def check_words(patient: Patient) -> Iterator[Finding]:
    """Check that some row has one of the words in the settings."""
    settings = patient.settings
    words = f"ORDERS_PENDING {settings.pending!r}, ORDERS_PAID {settings.paid!r}, ORDERS_EXPIRED {settings.expired!r}"
    found = _store(patient).probe(probes.words)
    if found:
        yield warning(
            "database.words",
            f"no row of {settings.table} has one of the words {words}: it has {', '.join(map(repr, found))}",
            "Set them to what the column holds. SQLAlchemy's Enum of a Python enum stores the names of its members.",
        )
    else:
        yield ok("database.words", f"rows have the words in the settings, or there are none yet: {words}")


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
        yield error("database.index", f"reconcile {problem} every minute: {lines}", plan.index)


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
        lacking, advice = (
            f"the events table {table} does not exist",
            "Create it with `orders init-db` or `manage.py migrate`.",
        )
        if patient.settings.remind:
            yield error("database.events", f"{lacking}, so nobody is reminded (ORDERS_REMIND is set)", advice)
        else:
            yield warning("database.events", lacking, f"{advice} Refunds and on_event need it.")
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


def check_kept(patient: Patient) -> Iterator[Finding]:
    """Count the rows that the shop's condition keeps."""
    if patient.settings.condition is None and patient.expiry.hooks.condition_hook is None:
        yield ok("database.kept", "the shop has no condition: every pending order expires at its deadline")
        return
    kept = _store(patient).count_kept()
    yield ok("database.kept", f"the shop's condition keeps {counted(kept, 'order')}, pending and due")


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


def check_sessions(patient: Patient) -> Iterator[Finding]:
    """Check that transactions do not depend on a session if there is a pooler; name another isolation level."""
    sessions = _store(patient).probe(probes.sessions)
    if sessions is None:
        yield ok("database.sessions", "transactions have the isolation level that they need")
        return
    found = f"connections are {'to a pooler' if sessions.is_pooled else 'to the server itself'}"
    if sessions.is_pooled and sessions.prepares_after is not None:
        yield warning(
            "database.sessions",
            f"{found}, and statements are prepared after {sessions.prepares_after} uses",
            "Remove prepare_threshold from ORDERS_DATABASE_URL, or set it to None in the connect_args of your engine, "
            "unless the pooler tracks prepared statements: PgBouncer does from 1.21 on, with max_prepared_statements.",
        )
        return
    if sessions.isolation != READ_COMMITTED.lower():
        found += (
            f"; the default isolation level is {sessions.isolation}. Transactions of this library are read committed; "
            "a payment that joins a transaction of the shop may raise StoreConflict: repeat that transaction"
        )
    yield ok("database.sessions", found)


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
    "database.writable": _with_sql("database.writable", check_writable),
    "database.words": _with_sql("database.words", check_words),
    "database.clock": _with_sql("database.clock", check_clock),
    "database.index": _with_sql("database.index", check_index),
    "database.events": _with_sql("database.events", check_events),
    "database.kept": _with_sql("database.kept", check_kept),
    "database.connections": _with_sql("database.connections", check_connections),
    "database.sessions": _with_sql("database.sessions", check_sessions),
}
