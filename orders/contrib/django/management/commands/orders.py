"""``manage.py orders …``: the verbs of the command ``orders``, on the project's own settings and connections."""

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
    "demo": "run `orders demo`, which brings a shop, a Redis and a database of its own",
    "up": "start Redis, and Celery's worker and beat, beside your server",
    "init-db": "the orders table is your model's, and the table of events comes with `manage.py migrate`",
}


def commands() -> Typer:
    """Return the verbs that make sense in a Django project."""
    return cli.build(f"{cli.HELP} Settings come from ORDERS in Django's settings.", instead=INSTEAD)


class Command(BaseCommand):
    """Hands the arguments over to the command line of the library, which does the rest."""

    help = cli.HELP
    requires_system_checks = ()  # those of this app are run before a verb

    def run_from_argv(self, argv: list[str]) -> None:
        """Run a verb. The exit status is that of the command ``orders``."""
        # Django itself has acted on these two before, wherever they stand.
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
        """Take whatever comes: the verb knows its arguments."""
        parser.add_argument("arguments", nargs=argparse.REMAINDER)

    def handle(self, *_: Any, **options: Any) -> None:
        """Run a verb for ``call_command("orders", "explain", "42")``; a `SystemExit` tells its status."""
        self._run(options["arguments"], prog_name="manage.py orders")

    def _run(self, arguments: list[str], *, prog_name: str) -> None:
        with ExitStack() as stack:
            if arguments and "--help" not in arguments:  # help is there whatever is wrong
                wrong = [found for found in run_checks(tags=[TAG], databases=[]) if isinstance(found, Error)]
                if wrong:
                    raise SystemCheckError("\n".join(map(str, wrong)))
                stack.enter_context(process.using(cast("DjangoExpiry", process.current()).at_once))
            cli.main(arguments, commands=commands(), prog_name=prog_name)
