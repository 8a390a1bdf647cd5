"""Extend many orders from the command line, with a progress bar."""

from __future__ import annotations

from datetime import datetime, timedelta

import typer

from orders import config, process
from orders.cli.progress import progress_bar
from orders.clock import as_utc, local
from orders.errors import InvalidDeadline
from orders.expiry import Extended, extend_orders
from orders.operate import counted


def extend_many(due_before: datetime, until: str | None, by: str | None, *, dry_run: bool) -> None:
    """Extend all pending orders that are due before some time, and show a progress bar."""
    expiry = process.current()
    deadline, more = until and parse_time("--until", until), by and parse_duration("--by", by)
    found = expiry.store.count_before(due_before)
    if dry_run:
        typer.echo(f"due before {local(due_before)}: {counted(found, 'pending order')}; nothing changed (dry run)")
        return
    reached = due_before
    with progress_bar("orders extended") as bar:
        task = bar.add_task("", total=found)

        def progress(so_far: Extended) -> None:
            nonlocal reached
            reached = so_far.due_before
            bar.update(task, completed=so_far.number)

        try:
            extended = extend_orders(
                expiry, due_before=due_before, until=deadline or None, by=more or None, progress=progress
            )
        except KeyboardInterrupt:
            typer.echo(f"interrupted: continue with --due-before {reached.isoformat()}", err=True)
            raise typer.Exit(130) from None
    typer.echo(f"{counted(extended, 'order')} extended")


def parse_time(option: str, text: str) -> datetime:
    """Return the time that an option gives, in UTC.

    Raises:
        InvalidDeadline: it is not in ISO 8601, or has no time zone.
    """
    try:
        return as_utc(datetime.fromisoformat(text))
    except ValueError as error:
        raise InvalidDeadline(
            f"{option} is {text!r}: it must be a date and time with a time zone, such as 2030-01-31T12:00:00+00:00"
        ) from error


def parse_duration(option: str, text: str) -> timedelta:
    """Return the time span that an option gives, such as 30m.

    Raises:
        InvalidDeadline: it is not one of the forms.
    """
    try:
        return config.parse_duration(text)
    except ValueError as error:
        raise InvalidDeadline(f"{option} is {error}") from error
