"""``orders dead``: dead letters, the orders that could not be expired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from orders import ids, process
from orders.cli.help import Command, Group
from orders.cli.schedule import AsJson, OrderIdArgument
from orders.clock import distance, local, to_datetime, when
from orders.operate import Operations, counted, plain

app = typer.Typer(help="Manage dead letters: orders that could not be expired.", no_args_is_help=True, cls=Group)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="The ids of orders.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="All dead letters whose reason contains this text.")]


@app.command("list", cls=Command)
def list_(*, as_json: AsJson = False) -> None:
    """List the dead letters, oldest first."""
    expiry = process.current()
    letters = sorted(expiry.schedule.dead(), key=lambda item: float(item[1]["buried_at"]))
    if as_json:
        typer.echo(json.dumps([{"order_id": order_id, **letter} for order_id, letter in letters]))
        return
    now = Operations(expiry).now()
    table = Table("order", *(Column(name, no_wrap=True) for name in ("buried", "")), "attempts", "reason")
    for order_id, letter in letters:
        at = to_datetime(letter["buried_at"])
        buried = (local(at), distance(at, now)) if at else ("", "")
        table.add_row(
            escape(ids.printable(order_id)), *buried, str(letter["attempts"]), escape(plain(letter["reason"]))
        )
    Console().print(table if letters else "no dead letters")


@app.command(cls=Command)
def show(order_id: OrderIdArgument) -> None:
    """Show a dead letter with its reason. The exit status is 1 if the order has none."""
    entry = process.current().schedule.entry(order_id)
    letter = entry.letter
    if letter is None:
        typer.echo(f"{order_id}: no dead letter")
        raise typer.Exit(1)
    at = to_datetime(letter["buried_at"])
    buried = when(at, datetime.fromtimestamp(entry.now, UTC)) if at else ""
    typer.echo(f"{order_id}: buried {buried} after {counted(letter['attempts'], 'attempt')}\n{plain(letter['reason'])}")


@app.command(cls=Command)
@app.command("retry", hidden=True, cls=Command)  # its former name
def requeue(order_ids: Ids = None, *, everything: All = False, reason: Reason = None) -> None:
    """Schedule dead letters again, due now and with all their attempts. The exit status is 1 if one does not exist."""
    with _chosen(order_ids, everything=everything, reason=reason) as chosen:
        typer.echo(f"{len(Operations(process.current()).retry(chosen))} requeued")


@app.command(cls=Command)
def drop(order_ids: Ids = None, *, everything: All = False, reason: Reason = None) -> None:
    """Delete dead letters; rows do not change. The exit status is 1 if one does not exist."""
    with _chosen(order_ids, everything=everything, reason=reason) as chosen:
        typer.echo(f"{process.current().schedule.drop(chosen)} dropped")


@contextmanager
def _chosen(order_ids: list[str] | None, *, everything: bool, reason: str | None) -> Iterator[list[str]]:
    """Yield the chosen ids that have a dead letter. Then exit with status 1 if one has none, or none has the reason."""
    if [bool(order_ids), everything, bool(reason)].count(True) != 1:
        raise typer.BadParameter("give ids, or --all, or --reason")
    schedule = process.current().schedule
    if not order_ids:
        found = [order_id for order_id, letter in schedule.dead() if (reason or "") in letter["reason"]]
        missing = [f"no dead letter has the reason {reason!r}"] if reason and not found else []
    else:
        found = [order_id for order_id in order_ids if schedule.entry(order_id).letter]
        missing = [f"{order_id}: no dead letter" for order_id in dict.fromkeys(order_ids) if order_id not in found]
    for message in missing:
        typer.echo(message, err=True)
    yield found
    if missing:
        raise typer.Exit(1)
