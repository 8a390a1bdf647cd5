"""What commands say beside their results: that the schedule is paused."""

from __future__ import annotations

from contextlib import suppress

import typer

from orders import process
from orders.errors import StoreError
from orders.operate import Operations


def warn_of_pause() -> None:
    """Say on standard error that the schedule is paused, if Redis knows it: by whom and why, if the database does."""
    operations = Operations(process.current())
    if not operations.overview().is_paused:
        return
    pause = None
    with suppress(StoreError):
        pause = operations.paused()
    typer.echo(f"the schedule is {pause or 'paused'}", err=True)
