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
from rich.table import Table

from orders import api, process
from orders.cli import bulk
from orders.cli.notice import warn_of_pause
from orders.cli.progress import progress_bar
from orders.clock import SystemClock, resolve_deadline, to_datetime, when
from orders.config import Settings
from orders.errors import ConfigError, ExpiryFailed
from orders.expiry import Dispatch, OrderExpiry, Reconciled, correct_pause, run_sweep
from orders.operate import counted
from orders.schedule import LATENESS, connect_schedule, rehome_ids
from orders.store import IdType, SqlStore, State

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
    events: Annotated[bool, typer.Option(help="Also create the tables of events.")] = True,
) -> None:
    """Create the default orders table, with its index on overdue rows, and the tables of events, unless they exist."""
    settings = Settings()
    with closing(SqlStore(settings)) as store:
        _print_table(settings.table, is_new=store.create_table(id_type))
        if events:
            is_new = store.create_webhooks()
            _print_table(settings.events_table, is_new=store.create_outbox())
            _print_table(f"{settings.events_table}_webhooks", is_new=is_new)


def enqueue(
    order_id: OrderIdArgument,
    *,
    expires_at: ExpiresAt = None,
    timeout: Timeout = None,
    insert: Annotated[bool, typer.Option("--insert", help="For a try: first insert a pending row for it.")] = False,
) -> None:
    """Schedule an order's expiry, or replace its deadline in the schedule. The order's row does not change."""
    deadline = _deadline(expires_at)
    if insert:
        expiry = process.current()
        if not isinstance(expiry.store, SqlStore):
            raise ConfigError("--insert needs an orders table in SQL")
        deadline = resolve_deadline(
            SystemClock(), expires_at=deadline, timeout=timeout, default=expiry.settings.timeout
        )
        expiry.store.insert(order_id, deadline)
        timeout = None
    deadline = api.enqueue(order_id, expires_at=deadline, timeout=timeout)
    typer.echo(f"{order_id}: due {when(deadline, datetime.now(UTC))}")


def extend(
    order_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The order's id.")] = None,
    *,
    expires_at: ExpiresAt = None,
    timeout: Timeout = None,
    due_before: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Instead of one order, all pending ones with an earlier deadline."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="With --due-before: their new deadline.")] = None,
    by: Annotated[str | None, typer.Option(metavar="TIME", help="With --due-before: 30m, 1h, 90s more.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="With --due-before: only count the orders.")] = False,
) -> None:
    """Give a pending order, or all that are due before some time, a new deadline, in the rows and in the schedule."""
    of_one, of_many = (expires_at, timeout), (until, by, dry_run or None)
    if (order_id is None) == (due_before is None):
        raise typer.BadParameter("give either an order's ID or --due-before")
    if due_before is not None:
        if any(given is not None for given in of_one):
            raise typer.BadParameter("--expires-at and --timeout are for one order: with --due-before, --until or --by")
        bulk.extend_many(bulk.parse_time("--due-before", due_before), until, by, dry_run=dry_run)
        return
    if any(given is not None for given in of_many):
        raise typer.BadParameter("--until, --by and --dry-run are for --due-before: for one order, --expires-at")
    assert order_id is not None  # noqa: S101 - one of the two is given
    _print_change(order_id, "extended", is_done=api.extend(order_id, expires_at=_deadline(expires_at), timeout=timeout))


def hold(
    order_id: OrderIdArgument,
    seconds: Annotated[float, typer.Argument(metavar="SECONDS", help="For how many seconds from now, at least.")],
) -> None:
    """Keep a pending order from expiring for some time, while a payment is in progress."""
    _print_change(order_id, "held", is_done=api.hold(order_id, seconds))


def cancel(
    order_id: OrderIdArgument,
    *,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for the hooks and the event.")] = "cancelled",
) -> None:
    """Cancel an order if it is pending, and give its stock back as an expiry does."""
    _print_change(order_id, "cancelled", is_done=api.cancel(order_id, reason=reason))


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
    """Expire an order now if it is overdue, and print its state. The exit status is 1 if there is no such order."""
    state = api.check(order_id)
    typer.echo(f"{order_id}: {state}")
    if state is State.MISSING:
        raise typer.Exit(1)


def remove(order_id: OrderIdArgument) -> None:
    """Remove an order from the schedule. The order's row does not change."""
    typer.echo(f"{order_id}: {'removed' if api.remove(order_id) else 'was not scheduled'}")


def stats(*, as_json: AsJson = False) -> None:
    """Show how many orders are scheduled, due and dead, and the counters of past work."""
    schedule = process.current().schedule
    counters = schedule.stats()
    if as_json:
        typer.echo(json.dumps(counters))
        return
    now = datetime.fromtimestamp(schedule.now(), UTC)
    table = Table("counter", "value")
    for name, value in counters.items():
        if name.startswith(LATENESS):
            continue  # `orders metrics` shows the histogram
        at = to_datetime(value) if name.endswith("_at") else None
        table.add_row(name, when(at, now) if at else f"{value:,.0f}")
    Console().print(table)
    warn_of_pause()


def sweep(*, as_json: AsJson = False) -> None:
    """Expire due orders in this process, without Celery. Use it when no worker runs."""
    current = process.current()
    settings = current.settings.model_copy(update={"lookahead": 0.0})  # leave orders that fall due later to the workers
    with closing(connect_schedule(settings)) as schedule:
        expiry = OrderExpiry(settings, schedule, current.store, hooks=current.hooks)
        expiry.ownership.check()
        correct_pause(expiry)
        here = _Here(expiry)
        rehome_ids(schedule)
        try:
            claimed = sum(run_sweep(shard, here, settings).claimed for shard in schedule.shards)
        except KeyboardInterrupt:
            told = f"what was claimed and not expired is due again within {settings.lease:g} s; run it again then"
            typer.echo(f"interrupted: {here.ended() or 'nothing was expired'}; {told}", err=True)
            raise typer.Exit(130) from None
    warn_of_pause()
    typer.echo(
        json.dumps({"claimed": claimed, **here.counts}) if as_json else f"claimed {claimed}  {here.ended()}".strip()
    )
    if here.failures:
        raise ExpiryFailed("; ".join(here.failures))


def reconcile(
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Include orders that are not overdue. Use it after Redis has lost its data.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count the orders.")] = False,
    as_json: AsJson = False,
) -> None:
    """Schedule pending orders that are missing from the schedule, or scheduled later than their deadline."""
    expiry = process.current()
    so_far = Reconciled(0, 0, complete=False)
    with progress_bar("pending orders seen") as bar:
        overdue = None if everything else expiry.settings.sweep_interval

        def progress(found: Reconciled) -> None:
            nonlocal so_far
            so_far = found
            bar.update(task, completed=found.seen)

        try:
            # Counting reads a whole index, so count only if there is a progress bar.
            task = bar.add_task("", total=None if bar.disable else expiry.store.count_pending(overdue=overdue))
            so_far = expiry.reconcile(everything=everything, dry_run=dry_run, progress=progress)
        except KeyboardInterrupt:
            told = f"interrupted: {_reconciled(so_far, dry_run=dry_run)}. What is scheduled stays so; run it again"
            typer.echo(told, err=True)
            raise typer.Exit(130) from None
    typer.echo(json.dumps(asdict(so_far)) if as_json else _reconciled(so_far, dry_run=dry_run))


def adopt() -> None:
    """Make the schedule belong to the database of this process, after the orders were moved to another database."""
    ownership = process.current().ownership
    before = ownership.adopt()
    if ownership.mine is None:
        raise ConfigError("the database has no events table, which holds its identity: create it with `orders init-db`")
    typer.echo(f"the schedule belongs to the {ownership.mine}" + (f"; before, to the {before}" if before else ""))


class _Here:
    """A publisher for `orders.expiry.run_sweep` that expires the orders itself instead of sending messages."""

    def __init__(self, expiry: OrderExpiry) -> None:
        self._expiry = expiry
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []

    def ended(self) -> str:
        """Return how the attempts have ended, for people."""
        return "  ".join(f"{name} {count}" for name, count in self.counts.items())

    def backlog(self) -> int:
        return 0

    def publish(self, dispatches: Sequence[Dispatch]) -> None:
        for dispatch in dispatches:
            try:
                self.counts.update(self._expiry.expire(dispatch.order_ids, dispatch.lease, shard=dispatch.shard))
            except ExpiryFailed as error:  # it is rescheduled or buried; continue with the others
                self.counts["failed"] += 1
                self.failures.append(str(error))


def _reconciled(found: Reconciled, *, dry_run: bool) -> str:
    moved = f", {found.advanced:,} {'late' if dry_run else 'scheduled earlier'}" if found.advanced else ""
    return (
        f"{counted(found.seen, 'pending order')} seen, {found.added:,} {'missing' if dry_run else 'scheduled'}{moved}"
    )


def _print_table(name: str, *, is_new: bool) -> None:
    typer.echo(f"table {name}: {'created' if is_new else 'exists, not changed'}")


def _print_change(order_id: str, done: str, *, is_done: bool) -> None:
    """Print what became of a pending order. The exit status is 1 if the order was not pending."""
    if not is_done:
        typer.echo(f"{order_id}: not pending, nothing changed")
        raise typer.Exit(1)
    typer.echo(f"{order_id}: {done}")


def _deadline(text: str | None) -> datetime | None:
    return None if text is None else bulk.parse_time("--expires-at", text)


VERBS: tuple[Any, ...] = (
    init_db,
    enqueue,
    extend,
    hold,
    pay,
    cancel,
    check,
    remove,
    stats,
    sweep,
    reconcile,
    adopt,
)
