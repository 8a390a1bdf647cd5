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
    typer.Option(metavar="TIME", help="The deadline with a time zone: 2030-01-31T12:00:00+00:00."),
]
Timeout = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Instead of a deadline, seconds from now; by default ORDERS_TIMEOUT."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def init_db(
    *,
    id_type: Annotated[IdType, typer.Option(help="The type of order ids: text, integer or uuid.")] = "text",
    events: Annotated[bool, typer.Option(help="Also create the events table.")] = True,
) -> None:
    """Create the default orders table, with its index on overdue rows, and the events table, unless they exist."""
    settings = Settings()
    with closing(SqlStore(settings)) as store:
        _print_table(settings.table, is_new=store.create_table(id_type))
        if events:
            _print_table(settings.events_table, is_new=store.create_outbox())


def enqueue(order_id: OrderIdArgument, *, expires_at: ExpiresAt = None, timeout: Timeout = None) -> None:
    """Schedule an order's expiry, or replace its deadline in the schedule. The order's row does not change."""
    deadline = api.enqueue(order_id, expires_at=_deadline(expires_at), timeout=timeout)
    typer.echo(f"{order_id}: due {deadline.isoformat()}")


def extend(order_id: OrderIdArgument, *, expires_at: ExpiresAt = None, timeout: Timeout = None) -> None:
    """Give a pending order a new deadline, in its row and in the schedule."""
    if not api.extend(order_id, expires_at=_deadline(expires_at), timeout=timeout):
        typer.echo(f"{order_id}: not pending, nothing changed")
        raise typer.Exit(1)
    typer.echo(f"{order_id}: extended")


def pay(
    order_id: OrderIdArgument,
    *,
    reference: Annotated[str | None, typer.Option(metavar="TEXT", help="The gateway's id of the payment.")] = None,
    as_json: AsJson = False,
) -> None:
    """Mark an order as paid if it is pending. The exit status is 1 if the payment is not accepted."""
    payment = api.pay(order_id, reference=reference)
    if as_json:
        typer.echo(json.dumps(asdict(payment)))
    else:
        refund = f"; refund with the idempotency key {payment.refund_key}" if payment.refund_key else ""
        typer.echo(f"{order_id}: {payment.verdict}{refund}")
    if not payment.is_accepted:
        raise typer.Exit(1)


def check(order_id: OrderIdArgument) -> None:
    """Expire an order now if it is overdue, and print its state."""
    typer.echo(f"{order_id}: {api.check(order_id)}")


def remove(order_id: OrderIdArgument) -> None:
    """Remove an order from the schedule. The order's row does not change."""
    typer.echo(f"{order_id}: {'removed' if api.remove(order_id) else 'was not scheduled'}")


def stats(*, as_json: AsJson = False) -> None:
    """Show how many orders are scheduled, due and dead, and the counters of past work."""
    counters = process.current().schedule.stats()
    if as_json:
        typer.echo(json.dumps(counters))
        return
    table = Table("counter", "value")
    for name, value in counters.items():
        if name.startswith(LATENESS):
            continue  # `orders metrics` shows the histogram
        is_time = name.endswith("_at")
        table.add_row(name, f"{datetime.fromtimestamp(value, UTC):%Y-%m-%d %H:%M:%S}Z" if is_time else f"{value:,.0f}")
    Console().print(table)


def sweep(*, as_json: AsJson = False) -> None:
    """Expire due orders in this process, without Celery. Use it when no worker runs."""
    current = process.current()
    settings = current.settings.model_copy(update={"lookahead": 0.0})  # leave orders that fall due later to the workers
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
        bool, typer.Option("--all", help="Include orders that are not overdue. Use it after Redis has lost its data.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the missing orders.")] = False,
    as_json: AsJson = False,
) -> None:
    """Schedule pending orders from the database that are missing from the schedule."""
    expiry = process.current()
    console = Console(stderr=True)
    columns = (TextColumn("pending orders seen"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        overdue = None if everything else expiry.settings.sweep_interval
        # Counting reads a whole index, so count only if there is a progress bar.
        task = bar.add_task("", total=None if bar.disable else expiry.store.count_pending(overdue=overdue))
        found = expiry.reconcile(
            everything=everything, dry_run=dry_run, progress=lambda so_far: bar.update(task, completed=so_far.seen)
        )
    if as_json:
        typer.echo(json.dumps(asdict(found)))
        return
    typer.echo(f"{found.seen} pending orders seen, {found.added} {'missing' if dry_run else 'scheduled'}")


def explain(order_id: OrderIdArgument, *, as_json: AsJson = False) -> None:
    """Show what is known about an order and what will happen to it next."""
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
    """A publisher for `orders.expiry.run_sweep` that expires the orders itself instead of sending messages."""

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
            except ExpiryFailed as error:  # it is rescheduled or buried; continue with the others
                self.counts["failed"] += 1
                self.failures.append(str(error))


def _print_table(name: str, *, is_new: bool) -> None:
    typer.echo(f"table {name}: {'created' if is_new else 'exists, not changed'}")


def _line(event: Event) -> str:
    delivery = f"delivered {event.delivered_at:%H:%M:%S}" if event.delivered_at else "not delivered yet"
    failures = f", failed {event.refusals} times: {event.error}" if event.error else ""
    details = "".join(f" {name}={value}" for name, value in event.data.items())
    return f"{event.at:%Y-%m-%d %H:%M:%S.%f}Z {event.id} {event.kind}{details} ({delivery}{failures})"


def _deadline(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidDeadline(
            f"--expires-at is {text!r}: it must be a date and time with a time zone, such as 2030-01-31T12:00:00+00:00"
        ) from error


VERBS: tuple[Any, ...] = (init_db, enqueue, extend, pay, check, remove, explain, stats, sweep, reconcile)
