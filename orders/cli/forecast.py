"""``orders forecast``: what will expire when, as bars."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated

import typer
from rich.bar import Bar
from rich.console import Console
from rich.table import Table

from orders import process
from orders.cli.schedule import AsJson
from orders.operate import Forecast, counted, forecast_orders

WIDTH = 40
"""Characters of the longest bar."""


def forecast(
    *,
    hours: Annotated[float, typer.Option(min=0.01, max=8784, metavar="HOURS", help="How far ahead to look.")] = 24,
    as_json: AsJson = False,
) -> None:
    """Show how many pending orders will expire when, unless they are paid before. Those overdue already come first."""
    found = forecast_orders(process.current(), hours=hours)
    if as_json:
        typer.echo(json.dumps(found.as_json()))
        return
    Console().print(_table(found))
    kept = f", {found.kept:,} kept by the shop's condition" if found.kept else ""
    expire = "expires" if found.expiring == 1 else "expire"
    typer.echo(f"{counted(found.expiring, 'order')} {expire} until {_time(found, found.bars[-1].end)}{kept}")


def _table(found: Forecast) -> Table:
    """Return a row for the overdue orders and one for each bar; with the kept ones, if there are any."""
    rows = [("overdue", found.overdue, found.overdue_kept)]
    rows += [(_time(found, bar.start), bar.expiring, bar.kept) for bar in found.bars]
    most = max(1, *(expiring for _, expiring, _ in rows))
    table = Table("due from", "", "orders", *(["kept"] if found.kept else []), box=None)
    for column in table.columns[2:]:
        column.justify = "right"
    for name, expiring, kept in rows:
        style = "red" if name == "overdue" else "cyan"
        numbers = [f"{expiring:,}", *([f"{kept:,}"] if found.kept else [])]
        table.add_row(name, Bar(most, 0, expiring, width=WIDTH, color=style), *numbers)
    return table


def _time(found: Forecast, time: datetime) -> str:
    """Return a time in the zone of this process, with its date unless the whole forecast is within a day."""
    is_a_day = found.bars[-1].end.astimezone().date() == found.now.astimezone().date()
    return f"{time.astimezone():{'' if is_a_day else '%Y-%m-%d '}%H:%M %Z}"
