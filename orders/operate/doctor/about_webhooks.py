"""Checks of webhooks: whether each endpoint gets its events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from orders.errors import ConfigError
from orders.expiry import webhook_tools
from orders.operate.doctor.findings import Check, Finding, Patient, error, ok, warning
from orders.operate.wording import counted

NAME = "database.webhooks"

BEHIND = 3600.0
"""Seconds that an event may wait for an endpoint: longer than the waits after its first three failures."""


def check_webhooks(patient: Patient) -> Iterator[Finding]:
    """Check that each endpoint gets its events, and count its dead letters."""
    settings, deliveries = patient.settings, patient.expiry.store.deliveries
    if not settings.webhooks:
        yield ok(NAME, "ORDERS_WEBHOOK_URL is not set in this process: no webhooks")
        return
    try:
        webhook_tools()
    except ConfigError as problem:
        yield error(NAME, str(problem), "Install it where workers consume the queue orders.events.")
        return
    if not deliveries.exist():
        found = f"the table {settings.events_table}_webhooks does not exist, so nothing is posted"
        yield error(NAME, found, "Create it with `orders init-db` or `manage.py migrate`, and restart all processes.")
        return
    progress = {each.endpoint: each for each in deliveries.progress()}
    for name in (each.name for each in settings.webhooks):
        row = progress.get(name)
        if row is None:
            advice = "The next orders.deliver makes it known. Does a worker with this setting consume orders.events?"
            yield warning(NAME, f"{name} is not known yet", advice)
            continue
        why = f"; last error: {row.error}" if row.error else ""
        found = (
            f"{name}: {counted(row.waiting, 'event')} waiting, the oldest for {row.oldest:,.0f} s; {row.dead:,} dead"
        )
        if row.is_gone:
            advice = f"It wants no events any more. Remove it from ORDERS_WEBHOOK_URL, or run {_replay(name)}."
            yield error(NAME, f"{name} has answered 410 Gone, and gets nothing; {found}{why}", advice)
        elif row.oldest > BEHIND:
            advice = f"Try it with `orders webhooks test {name}`. Does a worker consume the queue orders.events?"
            yield error(NAME, found + why, advice)
        elif row.dead:
            yield warning(NAME, found + why, f"Mend the receiver, then run {_replay(name)}.")
        else:
            yield ok(NAME, found + why)


def _replay(name: str) -> str:
    return f"`orders webhooks replay {name} --dead`"


CHECKS: Mapping[str, Check] = {NAME: check_webhooks}
