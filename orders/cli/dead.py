"""``orders dead``: dead letters, the orders that could not be expired."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from orders import ids, process
from orders.cli.schedule import AsJson, OrderIdArgument
from orders.operate import Operations

app = typer.Typer(help="Manage dead letters: orders that could not be expired.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="The ids of orders.")]
All = Annotated[bool, typer.Option("--all", help="All dead letters.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="All dead letters whose reason contains this text.")]


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the dead letters, oldest first."""
    letters = sorted(process.current().schedule.dead(), key=lambda item: float(item[1]["buried_at"]))
    if as_json:
        typer.echo(json.dumps([{"order_id": order_id, **letter} for order_id, letter in letters]))
        return
    table = Table("order", "buried", "attempts", "reason")
    for order_id, letter in letters:
        table.add_row(ids.printable(order_id), _buried_at(letter), str(letter["attempts"]), str(letter["reason"]))
    Console().print(table if letters else "no dead letters")


@app.command()
def show(order_id: OrderIdArgument) -> None:
    """Show a dead letter with its reason. The exit status is 1 if the order has none."""
    letter = process.current().schedule.entry(order_id).letter
    if letter is None:
        typer.echo(f"{order_id}: no dead letter")
        raise typer.Exit(1)
    typer.echo(f"{order_id}: buried {_buried_at(letter)} after {letter['attempts']} attempts\n{letter['reason']}")


@app.command()
@app.command("retry", hidden=True)  # its former name
def requeue(order_ids: Ids = None, *, everything: All = False, reason: Reason = None) -> None:
    """Schedule dead letters again, due now and with all their attempts."""
    requeued = Operations(process.current()).retry(_chosen(order_ids, everything=everything, reason=reason))
    typer.echo(f"{len(requeued)} requeued")


@app.command()
def drop(order_ids: Ids = None, *, everything: All = False, reason: Reason = None) -> None:
    """Delete dead letters. The rows of these orders do not change."""
    schedule = process.current().schedule
    dropped = schedule.drop(_chosen(order_ids, everything=everything, reason=reason))
    typer.echo(f"{dropped} dropped")


def _chosen(order_ids: list[str] | None, *, everything: bool, reason: str | None) -> list[str]:
    """Return the chosen ids that have a dead letter."""
    if [bool(order_ids), everything, bool(reason)].count(True) != 1:
        raise typer.BadParameter("give ids, or --all, or --reason")
    schedule = process.current().schedule
    if not order_ids:
        return [order_id for order_id, letter in schedule.dead() if (reason or "") in letter["reason"]]
    chosen = [order_id for order_id in order_ids or [] if schedule.entry(order_id).letter]
    for order_id in set(order_ids or []) - set(chosen):
        typer.echo(f"{order_id}: no dead letter", err=True)
    return chosen


def _buried_at(letter: dict[str, Any]) -> str:
    return f"{datetime.fromtimestamp(letter['buried_at'], UTC):%Y-%m-%d %H:%M:%S}Z"
