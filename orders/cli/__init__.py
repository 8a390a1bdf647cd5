"""The command ``orders``: each verb a thin layer over the library.

The same verbs are mounted elsewhere: ``manage.py orders``, ``flask orders``. See `build`.
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
"""Every verb by its name; besides, there is the group ``dead``."""


def build(told: str, *, instead: Mapping[str, str] | None = None) -> typer.Typer:
    """Return the command line.

    Args:
        told: what its help says.
        instead: verbs that make no sense where it is mounted, and what to do instead. They are not listed, and say so.
    """
    instead = instead or {}
    mounted = typer.Typer(help=told, no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
    for name, verb in VERBS.items():
        if name in instead:
            ignored = {"allow_extra_args": True, "ignore_unknown_options": True}
            mounted.command(name, hidden=True, context_settings=ignored)(_refusal(name, instead[name]))
        else:
            mounted.command(name)(verb)
    mounted.add_typer(dead.app, name="dead")
    return mounted


app = build(f"{HELP} Settings come from ORDERS_* in the environment.")


def main(arguments: Sequence[str] | None = None, *, commands: typer.Typer = app, prog_name: str | None = None) -> None:
    """Run the command line. An error of ours is one line on standard error, and exit status 1.

    Args:
        arguments: what follows its name, by default the process's.
        commands: what `build` returned.
        prog_name: its name in messages, by default the process's.
    """
    log_format = "text"
    if commands is app:  # elsewhere, what it is mounted in has set up logging
        log_format = _log_format()
        logs.set_up(log_format)
    try:
        commands(arguments, prog_name=prog_name)
    except OrdersError as error:
        if log_format == "json":
            # Its traceback would say nothing to who has to act.
            logger.error("%s", error, extra=logs.about("failed", error=type(error).__name__))  # noqa: TRY400 - see above
        else:
            told = escape(mask(str(error)))
            Console(stderr=True, soft_wrap=True).print(f"[bold red]error:[/] {told}", highlight=False)
        sys.exit(1)


def _log_format() -> str:
    try:
        return Settings().log_format
    except ConfigError:  # help is there whatever is wrong; a verb says what it is
        return "text"


def _refusal(name: str, told: str) -> Callable[[], None]:
    def refuse() -> None:
        raise ConfigError(f"there is no `{name}` here: {told}")

    return refuse
