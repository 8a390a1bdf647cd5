"""``orders dead``: the orders that could not be expired, and why."""

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

app = typer.Typer(help="The orders that could not be expired, and why.", no_args_is_help=True)

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Their ids.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
Reason = Annotated[str | None, typer.Option(metavar="TEXT", help="All whose reason has this text in it.")]


@app.command("list")
def list_(*, as_json: AsJson = False) -> None:
    """List the dead letters, the oldest first."""
    letters = sorted(process.current().schedule.dead(), key=lambda item: float(item[1]["buried_at"]))
    if as_json:
        typer.echo(json.dumps([{"order_id": order_id, **letter} for order_id, letter in letters]))
        return
    table = Table("order", "buried", "attempts", "reason")
    for order_id, letter in letters:
        table.add_row(ids.printable(order_id), _moment(letter), str(letter["attempts"]), str(letter["reason"]))
    Console().print(table if letters else "no dead letters")


@app.command()
def show(order_id: OrderIdArgument) -> None:
    """Show one dead letter."""
    letter = process.current().schedule.entry(order_id).letter
    if letter is None:
        typer.echo(f"{order_id}: no dead letter")
        raise typer.Exit(1)
    typer.echo(f"{order_id}: buried {_moment(letter)} after {letter['attempts']} attempts\n{letter['reason']}")


@app.command()
def retry(order_ids: Ids = None, *, everything: All = False, reason: Reason = None) -> None:
    """Schedule buried orders again, due now, with all their attempts."""
    retried = Operations(process.current()).retry(_chosen(order_ids, everything=everything, reason=reason))
    typer.echo(f"{len(retried)} scheduled again")


@app.command()
def drop(order_ids: Ids = None, *, everything: All = False, reason: Reason = None) -> None:
    """Forget dead letters; the rows of these orders stay as they are."""
    schedule = process.current().schedule
    dropped = schedule.drop(_chosen(order_ids, everything=everything, reason=reason))
    typer.echo(f"{dropped} dropped")


def _chosen(order_ids: list[str] | None, *, everything: bool, reason: str | None) -> list[str]:
    """Return those of the ids that are buried."""
    if [bool(order_ids), everything, bool(reason)].count(True) != 1:
        raise typer.BadParameter("name the orders, or say --all, or --reason")
    schedule = process.current().schedule
    if not order_ids:
        return [order_id for order_id, letter in schedule.dead() if (reason or "") in letter["reason"]]
    chosen = [order_id for order_id in order_ids or [] if schedule.entry(order_id).letter]
    for order_id in set(order_ids or []) - set(chosen):
        typer.echo(f"{order_id}: no dead letter", err=True)
    return chosen


def _moment(letter: dict[str, Any]) -> str:
    return f"{datetime.fromtimestamp(letter['buried_at'], UTC):%Y-%m-%d %H:%M:%S}Z"
