"""The command ``orders``. Each verb is a thin layer over the library.

``manage.py orders`` and ``flask orders`` have the same verbs; see `build`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape

from orders import logs
from orders.cli import dead, listing, schedule
from orders.cli.demo import demo
from orders.cli.doctor import doctor
from orders.cli.metrics import metrics
from orders.cli.up import up
from orders.config import Settings, mask
from orders.errors import ConfigError, OrdersError

logger = logging.getLogger(__name__)

HELP = "Close every order that is not paid by its deadline."

VERBS: Mapping[str, Callable[..., Any]] = {
    "demo": demo,
    "up": up,
    **{verb.__name__.replace("_", "-"): verb for verb in schedule.VERBS},
    "list": listing.list_,
    "doctor": doctor,
    "metrics": metrics,
}
"""Every verb by its name, except the group ``dead``."""


def build(help_text: str, *, instead: Mapping[str, str] | None = None) -> typer.Typer:
    """Return the command line.

    Args:
        help_text: the text of ``--help``.
        instead: verbs that make no sense in this command line, and what to do instead. They are hidden and exit with
            this advice.
    """
    instead = instead or {}
    mounted = typer.Typer(help=help_text, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
    for name, verb in VERBS.items():
        if name in instead:
            ignored = {"allow_extra_args": True, "ignore_unknown_options": True}
            mounted.command(name, hidden=True, context_settings=ignored)(_rejection(name, instead[name]))
        else:
            mounted.command(name)(verb)
    mounted.add_typer(dead.app, name="dead")
    return mounted


app = build(f"{HELP} Settings come from ORDERS_* in the environment.")


def main(arguments: Sequence[str] | None = None, *, commands: typer.Typer = app, prog_name: str | None = None) -> None:
    """Run the command line. An `OrdersError` becomes one line on standard error and exit status 1.

    Args:
        arguments: the arguments after the command's name, by default those of the process.
        commands: the command line that `build` returned.
        prog_name: the command's name in messages, by default that of the process.
    """
    log_format = "text"
    if commands is app:  # otherwise the framework has configured logging
        log_format = _log_format()
        logs.set_up(log_format)
    try:
        commands(arguments, prog_name=prog_name)
    except OrdersError as error:
        if log_format == "json":
            # A traceback would not help the operator.
            logger.error("%s", error, extra=logs.about("failed", error=type(error).__name__))  # noqa: TRY400 - see above
        else:
            message = escape(mask(str(error)))
            Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {message}", highlight=False)
        sys.exit(1)


def _log_format() -> str:
    try:
        return Settings().log_format
    except ConfigError:  # --help works all the same; a verb reports the error
        return "text"


def _rejection(name: str, advice: str) -> Callable[[], None]:
    def reject() -> None:
        raise ConfigError(f"`{name}` is not available here: {advice}")

    return reject
