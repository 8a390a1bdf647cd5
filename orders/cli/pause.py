"""``orders pause`` and ``orders resume``: the verbs that stop all expiry, and let it go on."""

from __future__ import annotations

import getpass
import json
import socket
from dataclasses import asdict
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from orders import process
from orders.cli import bulk
from orders.cli.schedule import AsJson
from orders.expiry import pause_schedule, resume_schedule
from orders.operate import counted
from orders.store import Pause


def pause(
    *,
    for_: Annotated[str | None, typer.Option("--for", metavar="TIME", help="For how long: 30m, 1h, 90s.")] = None,
    until: Annotated[
        str | None, typer.Option(metavar="TIME", help="Instead, when it ends: 2030-01-31T12:00:00+00:00.")
    ] = None,
    reason: Annotated[str | None, typer.Option(metavar="TEXT", help="Why, for those who see it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let nothing expire, in no process, until `orders resume` or the given time. Payments and events go on."""
    begun = pause_schedule(
        process.current(),
        None if for_ is None else bulk.parse_duration("--for", for_),
        until=None if until is None else bulk.parse_time("--until", until),
        reason=reason,
        by=_operator(),
    )
    typer.echo(json.dumps(as_dict(begun)) if as_json else begun)


def resume(
    *,
    extend: Annotated[
        bool,
        typer.Option("--extend", help="First give all orders that fell due in the pause as much more time as it took."),
    ] = False,
) -> None:
    """End the pause, and release the brake. The exit status is 1 if the schedule was not paused."""
    extended, console = 0, Console(stderr=True)
    columns = (TextColumn("orders extended: {task.completed:,}"), BarColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("", total=None)

        def count(number: int) -> None:
            nonlocal extended
            extended += number
            bar.update(task, completed=extended)

        try:
            ended = resume_schedule(process.current(), extend=extend, progress=count)
        except KeyboardInterrupt:
            typer.echo("interrupted: the schedule is still paused; run `orders resume --extend` again", err=True)
            raise typer.Exit(130) from None
    if ended is None:
        typer.echo("the schedule was not paused")
        raise typer.Exit(1)
    typer.echo(f"resumed; it was {ended}" + (f"; {counted(extended, 'order')} extended" if extend else ""))


def as_dict(pause: Pause | None) -> dict[str, Any] | None:
    """Return a pause for JSON, with times in ISO 8601."""
    if pause is None:
        return None
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in asdict(pause).items()}


def _operator() -> str | None:
    try:
        return f"{getpass.getuser()}@{socket.gethostname()}"[:255]
    except (KeyError, OSError):  # the user has no name, as in some containers
        return None
