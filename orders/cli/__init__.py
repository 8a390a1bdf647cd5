"""The command ``orders``: each verb a thin layer over the library."""

from __future__ import annotations

import sys

import typer
from rich.console import Console
from rich.markup import escape

from orders.cli import dead, schedule
from orders.cli.demo import demo
from orders.cli.up import up
from orders.errors import OrdersError

app = typer.Typer(
    help="Close every order that is not paid by its deadline. Settings come from ORDERS_* in the environment.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(demo)
app.command()(up)
for verb in schedule.VERBS:
    app.command(verb.__name__.replace("_", "-"))(verb)
app.add_typer(dead.app, name="dead")


def main() -> None:
    """Run the command line. An error of ours is one line on standard error, and exit status 1."""
    try:
        app()
    except OrdersError as error:
        Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}", highlight=False)
        sys.exit(1)
