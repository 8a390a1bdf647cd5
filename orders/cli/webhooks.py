"""``orders webhooks``: the endpoints to which events are posted, and what became of the events."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from orders import process
from orders.cli.bulk import parse_time
from orders.cli.help import Command, Group
from orders.cli.schedule import AsJson
from orders.clock import distance
from orders.config import parse_duration
from orders.operate import (
    NO_WEBHOOKS,
    EndpointState,
    counted,
    endpoint_states,
    endpoints_named,
    plain,
    post_trial,
)

app = typer.Typer(help="Look at webhooks, replay events, try an endpoint.", no_args_is_help=True, cls=Group)

Name = Annotated[str | None, typer.Argument(metavar="[ENDPOINT]", help="Its name in the list; by default all.")]


@app.command("list", cls=Command)
def list_(*, as_json: AsJson = False) -> None:
    """List the endpoints with their waiting, delivered and dead events, and what last went wrong."""
    made, found = process.current().store.deliveries.delivered(), endpoint_states(process.current())
    if as_json:
        known = ((each.progress, each) for each in found if each.progress)
        rows = ({**asdict(row), "delivered": made.get(each.name, 0), "url": each.origin} for row, each in known)
        typer.echo(json.dumps(list(rows)))
        return
    if not found:
        typer.echo(NO_WEBHOOKS)
        return
    headings = ["endpoint", "host", "waiting", "delivered", "dead", "oldest", "state"]
    table, now = Table(*(Column(heading, no_wrap=heading != "state") for heading in headings)), datetime.now(UTC)
    for each in found:
        cells = [""] * 4
        if row := each.progress:
            since = each.waiting_since(now)
            cells = [f"{row.waiting:,}", f"{made.get(each.name, 0):,}", f"{row.dead:,}"]
            cells.append(distance(since, now) if since else "")
        origin = each.origin or "not in ORDERS_WEBHOOK_URL"
        table.add_row(*(escape(plain(cell)) for cell in [each.name, origin, *cells, _state(each)]))
    Console().print(table)


@app.command(cls=Command)
def replay(
    endpoint: Name = None,
    *,
    dead: Annotated[bool, typer.Option("--dead", help="All dead letters.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="All events since then, delivered or not: 2h, 2030-01-31T12:00Z.")
    ] = None,
    event: Annotated[int | None, typer.Option(metavar="ID", help="One event, as `orders explain` shows it.")] = None,
) -> None:
    """Post events again, and wake up an endpoint that rests or was gone. The exit status is 1 if there are none."""
    if [dead, since is not None, event is not None].count(True) != 1:
        raise typer.BadParameter("give one of --dead, --since and --event")
    moment = None if since is None else _since(since)
    replayed = 0
    for each in endpoints_named(process.current().settings, endpoint):
        number = process.current().store.deliveries.replay(each.name, since=moment, event_id=event, dead=dead)
        typer.echo(f"{each.name}: {counted(number, 'event')} to post again")
        replayed += number
    if not replayed:
        raise typer.Exit(1)


@app.command("test", cls=Command)
def try_out(endpoint: Name = None) -> None:
    """Post a signed event `order.test` now, and show the answer. The exit status is 1 if one is not a success."""
    settings, failed = process.current().settings, False
    for each in endpoints_named(settings, endpoint):
        trial = post_trial(each, settings)
        typer.echo(f"{each.name} ({each.origin}): {plain(trial.answer)} ({trial.details})")
        failed = failed or not trial.is_success
    if failed:
        raise typer.Exit(1)


def _since(text: str) -> datetime:
    """Return a time that is given as such, or as how long ago it was."""
    try:
        return datetime.now(UTC) - parse_duration(text)
    except ValueError:
        return parse_time("--since", text)


def _state(each: EndpointState) -> str:
    """Return the state and the last error. An endpoint that is ok may still have refused an event."""
    error = each.progress.error if each.progress else None
    if error is None:
        return each.state
    return error if each.state == "ok" else f"{each.state}: {error}"
