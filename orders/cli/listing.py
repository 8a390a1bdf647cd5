"""``orders list``: the orders in one state, page by page."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from orders import ids, process
from orders.cli.notice import warn_of_pause
from orders.cli.schedule import AsJson
from orders.clock import distance, local
from orders.operate import Operations, Where, plain

TIME_COLUMN = {Where.PENDING: "due", Where.DUE: "due since", Where.LEASED: "leased until", Where.DEAD: "buried"}
"""The meaning of an item's time."""


def list_(
    where: Annotated[Where, typer.Argument(help="Which orders to list.")] = Where.PENDING,
    *,
    page: Annotated[int, typer.Option(min=1, help="The page number.")] = 1,
    size: Annotated[int, typer.Option(min=1, max=1000, help="Orders per page.")] = 50,
    as_json: AsJson = False,
) -> None:
    """List orders that are pending, due, leased or dead, earliest first."""
    operations = Operations(process.current())
    overview = operations.overview()
    found = operations.page(where, number=page, size=size, overview=overview)
    if as_json:
        entries = [
            {
                "order_id": item.order_id,
                "at": item.at and item.at.isoformat(),
                "attempts": item.attempts,
                "reason": item.reason,
            }
            for item in found.items
        ]
        typer.echo(json.dumps({"total": found.total, "page": found.number, "pages": found.pages, "orders": entries}))
        return
    table = Table("order", *(Column(name, no_wrap=True) for name in (TIME_COLUMN[where], "")), "attempts", "reason")
    for item in found.items:
        at = (local(item.at), distance(item.at, overview.now)) if item.at else ("", "")
        table.add_row(
            escape(ids.printable(item.order_id)), *at, str(item.attempts or ""), escape(plain(item.reason or ""))
        )
    if found.items:
        Console().print(table)
    typer.echo(f"{found.total:,} {where}; page {found.number} of {found.pages}")
    warn_of_pause()
