"""``flask orders``: the verbs of the command line, on the current app's settings, database and hooks.

The command line is made with Typer, whose commands are none of Click's: each verb here hands over what follows it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, get_args

import click
import typer
from flask.cli import AppGroup

from orders import process
from orders.cli import HELP, build, main
from orders.errors import OrdersError
from orders.store import IdType

if TYPE_CHECKING:
    from orders.contrib.flask.state import AppState

INSTEAD = {
    "demo": "it plays a shop of its own. Run `orders demo`",
    "up": "run `ORDERS_APP=… orders up`, with the name of this app",
}
"""Verbs that are none of an app, and what to do instead."""

INIT_DB = "init-db"

_AS_IS = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


def commands(name: str, state: Callable[[], AppState]) -> AppGroup:
    """Return the group of commands.

    Args:
        name: what it is called.
        state: returns what the current app has of the extension.
    """
    group = AppGroup(name, help=HELP)
    verbs = build(HELP, instead=INSTEAD)
    known = typer.main.get_command(verbs)
    for verb, command in known.commands.items():  # type: ignore[attr-defined]  # it is a group
        if verb == INIT_DB:
            continue

        @group.command(verb, help=command.help, hidden=command.hidden, context_settings=_AS_IS)
        @click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
        @click.pass_context
        def run(context: click.Context, arguments: tuple[str, ...]) -> None:
            with process.using(state().expiry):
                main([str(context.info_name), *arguments], commands=verbs, prog_name=f"flask {name}")

    @group.command(INIT_DB)
    @click.option("--id-type", type=click.Choice(get_args(IdType)), default="text", help="What ids are.")
    def init_db(id_type: IdType) -> None:
        """Create the table of events and, in an app without a model, the default orders table: what is missing."""
        app = state()
        settings = app.expiry.settings
        try:
            if app.database is None or app.database.model is None:
                _tell(settings.table, is_new=app.store.create_table(id_type))
            _tell(settings.events_table, is_new=app.store.create_outbox())
        except OrdersError as error:
            raise click.ClickException(str(error)) from error

    return group


def _tell(name: str, *, is_new: bool) -> None:
    click.echo(f"table {name}: {'created' if is_new else 'there already, left as it is'}")
