"""The command ``orders``. Each verb is a thin layer over the library.

``manage.py orders`` and ``flask orders`` have the same verbs; see `build`.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from orders import logs, process
from orders.cli import dead, listing, schedule, up_file, webhooks
from orders.cli.audit import audit
from orders.cli.demo import demo
from orders.cli.doctor import doctor
from orders.cli.explain import explain
from orders.cli.forecast import forecast
from orders.cli.help import Command, Group, group_of
from orders.cli.metrics import metrics
from orders.cli.pause import pause, resume
from orders.cli.up import up
from orders.cli.web import web
from orders.config import Settings, mask
from orders.errors import ConfigError, OrdersError

logger = logging.getLogger(__name__)

HELP = "Close every order that is not paid by its deadline."

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
"""The errors of a disk, a quota or a file that is full."""

VERBS: Mapping[str, Callable[..., Any]] = {
    "demo": demo,
    "up": up,
    **{verb.__name__.replace("_", "-"): verb for verb in schedule.VERBS},
    "explain": explain,
    "pause": pause,
    "resume": resume,
    "list": listing.list_,
    "forecast": forecast,
    "audit": audit,
    "doctor": doctor,
    "metrics": metrics,
    "web": web,
}
"""Every verb by its name, except the groups ``dead`` and ``webhooks``."""


def build(help_text: str, *, instead: Mapping[str, str] | None = None) -> typer.Typer:
    """Return the command line.

    Args:
        help_text: the text of ``--help``.
        instead: verbs that make no sense in this command line, and what to do instead. They are hidden and exit with
            this advice.
    """
    instead = instead or {}
    mounted = typer.Typer(
        help=help_text, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False, cls=Group
    )
    for name, verb in VERBS.items():
        if name in instead:
            ignored = {"allow_extra_args": True, "ignore_unknown_options": True}
            mounted.command(name, hidden=True, context_settings=ignored)(_rejection(name, instead[name]))
        else:
            mounted.command(name, cls=Command, rich_help_panel=group_of(name))(verb)
    for group, commands in (("dead", dead.app), ("webhooks", webhooks.app)):
        mounted.add_typer(commands, name=group, rich_help_panel=group_of(group))
    return mounted


app = build(f"{HELP} Settings come from ORDERS_* in the environment.")


def main(arguments: Sequence[str] | None = None, *, commands: typer.Typer = app, prog_name: str | None = None) -> None:
    """Run the command line. An `OrdersError` and a full disk become one line on standard error and exit status 1.

    Args:
        arguments: the arguments after the command's name, by default those of the process.
        commands: the command line that `build` returned.
        prog_name: the command's name in messages, by default that of the process.
    """
    log_format = "text"
    if commands is app:  # otherwise the framework has configured logging
        log_format = _log_format()
        logs.set_up(log_format)
        process.warn_of_misspelt_settings()
        if _needs_servers(sys.argv[1:] if arguments is None else arguments):
            up_file.use()
    try:
        commands(arguments, prog_name=prog_name)
    except OrdersError as error:
        _fail(error, str(error), log_format)
    except OSError as error:
        if error.errno not in FULL:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python would try again to write the rest
        _fail(error, f"the output cannot be written: {error.strerror}", log_format)


def _needs_servers(arguments: Sequence[str]) -> bool:
    """Return whether a command works with servers that run."""
    return bool(arguments) and arguments[0] not in {"demo", "up"} and "--help" not in arguments


def _fail(error: Exception, message: str, log_format: str) -> NoReturn:
    """Report an error in one line, and exit with status 1."""
    if log_format == "json":
        logger.error("%s", message, extra=logs.about("failed", error=type(error).__name__))
    else:
        console = Console(stderr=True, soft_wrap=True)
        console.print(f"[bold red]error:[/] {escape(mask(message))}", highlight=False)
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
