"""The verbs on the schedule and on the orders table."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from orders import api, process
from orders.config import Settings
from orders.errors import ExpiryFailed, InvalidDeadline
from orders.events import Event
from orders.expiry import Dispatch, OrderExpiry, run_sweep
from orders.schedule import LATENESS, connect_schedule, rehome_ids
from orders.store import IdType, SqlStore

OrderIdArgument = Annotated[str, typer.Argument(metavar="ID", help="The order's id.")]
ExpiresAt = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="The deadline with its time zone: 2030-01-31T12:00:00+00:00."),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Instead, seconds from now; by default ORDERS_TIMEOUT."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def init_db(
    *,
    id_type: Annotated[IdType, typer.Option(help="What ids are: text, integer or uuid.")] = "text",
    events: Annotated[bool, typer.Option(help="Also the table of events.")] = True,
) -> None:
    """Create the default orders table with the index on overdue rows, and the table of events: what is missing."""
    settings = Settings()
    with closing(SqlStore(settings)) as store:
        _tell_created(settings.table, is_new=store.create_table(id_type))
        if events:
            _tell_created(settings.events_table, is_new=store.create_outbox())


def enqueue(order_id: OrderIdArgument, *, expires_at: ExpiresAt = None, timeout: Timeout = None) -> None:
    """Schedule an order's expiry, or move it; its row is left alone."""
    deadline = api.enqueue(order_id, expires_at=_moment(expires_at), timeout=timeout)
    typer.echo(f"{order_id}: due {deadline.isoformat()}")


def extend(order_id: OrderIdArgument, *, expires_at: ExpiresAt = None, timeout: Timeout = None) -> None:
    """Give a pending order another deadline, in its row and in the schedule."""
    if not api.extend(order_id, expires_at=_moment(expires_at), timeout=timeout):
        typer.echo(f"{order_id}: not pending, nothing changed")
        raise typer.Exit(1)
    typer.echo(f"{order_id}: extended")


def pay(
    order_id: OrderIdArgument,
    *,
    reference: Annotated[str | None, typer.Option(metavar="TEXT", help="The gateway's id of the payment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Mark an order as paid, if it is pending; exit status 1 if it is not paid by this payment."""
    payment = api.pay(order_id, reference=reference)
    if as_json:
        typer.echo(json.dumps(asdict(payment)))
    else:
        refund = f"; refund with the idempotency key {payment.refund_key}" if payment.refund_key else ""
        typer.echo(f"{order_id}: {payment.verdict}{refund}")
    if not payment.is_accepted:
        raise typer.Exit(1)


def check(order_id: OrderIdArgument) -> None:
    """Expire an order here and now if it is overdue, and tell what it is."""
    typer.echo(f"{order_id}: {api.check(order_id)}")


def remove(order_id: OrderIdArgument) -> None:
    """Take an order out of the schedule; its row is left alone."""
    typer.echo(f"{order_id}: {'removed' if api.remove(order_id) else 'was not scheduled'}")


def stats(*, as_json: AsJson = False) -> None:
    """Show how many orders are scheduled, due and dead, and what was done so far."""
    counters = process.current().schedule.stats()
    if as_json:
        typer.echo(json.dumps(counters))
        return
    table = Table("counter", "value")
    for name, value in counters.items():
        if name.startswith(LATENESS):
            continue  # a histogram is for `orders metrics` to show
        is_moment = name.endswith("_at")
        table.add_row(
            name, f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S}Z" if is_moment else f"{value:,.0f}"
        )
    Console().print(table)


def sweep(*, as_json: AsJson = False) -> None:
    """Expire what is due here and now, without Celery: for when no worker runs."""
    current = process.current()
    settings = current.settings.model_copy(update={"lookahead": 0.0})  # what falls due later is left to the workers
    with closing(connect_schedule(settings)) as schedule:
        here = _Here(OrderExpiry(settings, schedule, current.store, hooks=current.hooks))
        rehome_ids(schedule)
        claimed = sum(run_sweep(shard, here, settings).claimed for shard in schedule.shards)
    report = {"claimed": claimed, **here.counts}
    typer.echo(json.dumps(report) if as_json else "  ".join(f"{name} {count}" for name, count in report.items()))
    if here.failures:
        raise ExpiryFailed("; ".join(here.failures))


def reconcile(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Also orders that are not overdue: after Redis has lost its data.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count them.")] = False,
    as_json: AsJson = False,
) -> None:
    """Schedule pending orders that the schedule lacks, as the database has them."""
    expiry = process.current()
    console = Console(stderr=True)
    columns = (TextColumn("pending orders seen"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        overdue = None if everything else expiry.settings.sweep_interval
        # Counting reads an index from end to end: only for somebody who watches.
        task = bar.add_task("", total=None if bar.disable else expiry.store.count_pending(overdue=overdue))
        found = expiry.reconcile(
            everything=everything, dry_run=dry_run, progress=lambda so_far: bar.update(task, completed=so_far.seen)
        )
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    typer.echo(f"{found.seen} pending orders seen, {found.added} {'lacking' if dry_run else 'scheduled'}")


def explain(order_id: OrderIdArgument, *, as_json: AsJson = False) -> None:
    """Tell what is known about an order, and what will happen to it next."""
    known = api.explain(order_id)
    if as_json:
        typer.echo(json.dumps(known.as_json()))
        return
    table = Table(show_header=False)
    for name, value in known.as_json().items():
        if name == "events":
            for event in known.events:
                table.add_row("event", _line(event))
        elif value not in (None, 0):
            table.add_row(name.replace("_", " "), str(value))
    Console(soft_wrap=False).print(table)


class _Here:
    """An `orders.sweep.Publisher` that does the work instead of sending it."""

    def __init__(self, expiry: OrderExpiry) -> None:
        self._expiry = expiry
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def backlog(self) -> int:
        return 0

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        for dispatch in dispatches:
            try:
                self.counts.update(self._expiry.expire(dispatch.order_ids, dispatch.lease, shard=dispatch.shard))
            except ExpiryFailed as error:  # that order is tried again or buried; the others wait for nobody
                self.counts["failed"] += 1
                self.failures.append(str(error))


def _tell_created(name: str, *, is_new: bool) -> None:
    typer.echo(f"table {name}: {'created' if is_new else 'there already, left as it is'}")


def _line(event: Event) -> str:
    told = f"delivered {event.delivered_at:%H:%M:%S}" if event.delivered_at else "not delivered yet"
    refused = f", refused {event.refusals} times: {event.error}" if event.error else ""
    about = "".join(f" {name}={value}" for name, value in event.data.items())
    return f"{event.at:%Y-%m-%d %H:%M:%S.%f}Z {event.id} {event.kind}{about} ({told}{refused})"


def _moment(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidDeadline(
            f"--expires-at is {text!r}: accepted is a date and time with its zone, 2030-01-31T12:00:00+00:00"
        ) from error


VERBS: tuple[Any, ...] = (init_db, enqueue, extend, pay, check, remove, explain, stats, sweep, reconcile)
