"""``orders explain``: the life of one order, in sentences."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from orders import api, ids
from orders.cli.schedule import AsJson, OrderIdArgument
from orders.clock import distance, local
from orders.expiry import timeline
from orders.operate import plain


def explain(order_id: OrderIdArgument, *, as_json: AsJson = False) -> None:
    """Tell what happened to an order, and what will happen to it next. The exit status is 1 if there is no such row."""
    known = api.explain(order_id)
    if as_json:
        typer.echo(json.dumps(known.as_json()))
    else:
        typer.echo(f"order {ids.printable(order_id)}: {known.state or 'no such order'}")
        table = Table.grid(*(Column(no_wrap=True), Column(no_wrap=True), Column()), padding=(0, 2))
        for step in timeline(known):
            at, ago = (local(step.at), distance(step.at, known.now)) if step.at else ("", "")
            table.add_row(at, ago, escape(plain(step.what + (step.detail and f" ({step.detail})"))))
        Console().print(table)
        if known.warning:
            typer.echo(f"warning: {known.warning}")
    if known.state is None:
        raise typer.Exit(1)
