"""``orders web``: the operators' page."""

from __future__ import annotations

from typing import Annotated

import typer

from orders.operate import web as page

PORT = 8470


def web(
    *,
    host: Annotated[
        str, typer.Option(help="The address to listen on. Other than 127.0.0.1 needs ORDERS_WEB_LOGIN.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to listen on; 0 for any free port.")] = PORT,
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Show everything and change nothing, as ORDERS_WEB_READ_ONLY=true.")
    ] = False,
) -> None:
    """Serve the operators' page until Ctrl-C: counts, history, lists, dead letters, one order, the doctor."""
    page.serve(host=host, port=port, read_only=read_only, ready=typer.echo)
