"""``flask orders``: the commands of ``orders``, with the current app's settings, database and hooks.

The command line uses Typer, whose commands are not Click commands: each command here passes its arguments on.
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
    "demo": "run `orders demo`, which starts its own shop",
    "up": "run `ORDERS_APP=… orders up`, with the name of this app",
}
"""Commands that an app does not have, and what to do instead."""

INIT_DB = "init-db"

_AS_IS = {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": []}


def commands(name: str, state: Callable[[], AppState]) -> AppGroup:
    """Return the group of commands.

    Args:
        name: the name of the group.
        state: returns the extension's state in the current app.
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
    @click.option("--id-type", type=click.Choice(get_args(IdType)), default="text", help="The type of order ids.")
    def init_db(id_type: IdType) -> None:
        """Create the missing tables: the tables of events and, in an app without a model, the default orders table."""
        app = state()
        settings = app.expiry.settings
        try:
            if app.database is None or app.database.model is None:
                _report(settings.table, is_new=app.store.create_table(id_type))
            is_new = app.store.create_webhooks()
            _report(settings.events_table, is_new=app.store.create_outbox())
            _report(f"{settings.events_table}_webhooks", is_new=is_new)
        except OrdersError as error:
            raise click.ClickException(str(error)) from error

    return group


def _report(name: str, *, is_new: bool) -> None:
    click.echo(f"table {name}: {'created' if is_new else 'exists, not changed'}")
