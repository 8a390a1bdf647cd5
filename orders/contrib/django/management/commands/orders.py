"""``manage.py orders …``: the commands of ``orders``, with the project's own settings and connections."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from django.core.checks import Error, run_checks
from django.core.management.base import BaseCommand, CommandParser, SystemCheckError
from typer import Typer

from orders import cli, process
from orders.contrib.django.checks import TAG

if TYPE_CHECKING:
    from orders.contrib.django.expiry import DjangoExpiry

INSTEAD = {
    "demo": "run `orders demo`, which starts its own shop, Redis and database",
    "up": "start Redis, a Celery worker and beat next to your web server",
    "init-db": "your model has the orders table, and `manage.py migrate` creates the table of events",
}
"""Commands that a Django project does not have, and what to do instead."""


def commands() -> Typer:
    """Return the commands that a Django project has."""
    return cli.build(f"{cli.HELP} Settings come from ORDERS in Django's settings.", instead=INSTEAD)


class Command(BaseCommand):
    """Passes its arguments on to the command line of the library."""

    help = cli.HELP
    requires_system_checks = ()  # `_run` runs those of this app

    def run_from_argv(self, argv: list[str]) -> None:
        """Run a command. The exit status is that of ``orders``."""
        # Django itself has handled these two already, in any position.
        django = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
        django.add_argument("--settings")
        django.add_argument("--pythonpath")
        _, arguments = django.parse_known_args(argv[2:])
        try:
            self._run(arguments, prog_name=f"{Path(argv[0]).name} {argv[1]}")
        except SystemCheckError as error:
            self.stderr.write(str(error), lambda text: text)
            raise SystemExit(1) from None

    def add_arguments(self, parser: CommandParser) -> None:
        """Accept all arguments: the command parses them."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *_: Any, **options: Any) -> None:
        """Run a command for ``call_command("orders", "explain", "42")``. A `SystemExit` holds its exit status."""
        self._run(options["arguments"], prog_name="manage.py orders")

    def _run(self, arguments: list[str], *, prog_name: str) -> None:
        with ExitStack() as stack:
            if arguments and "--help" not in arguments:  # help must work with invalid settings
                errors = [message for message in run_checks(tags=[TAG], databases=[]) if isinstance(message, Error)]
                if errors:
                    raise SystemCheckError("\n".join(map(str, errors)))
                stack.enter_context(process.using(cast("DjangoExpiry", process.current()).at_once))
            cli.main(arguments, commands=commands(), prog_name=prog_name)
