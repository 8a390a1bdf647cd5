"""``orders up``: runs the processes of the Procfile, on embedded servers unless the settings name others."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
from collections.abc import Iterable
from contextlib import ExitStack, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orders import names, process
from orders.cli.announcement import Announcement, Servers
from orders.cli.processes import environment
from orders.cli.up_file import FOLDER, locked, written
from orders.cli.web import PORT as PAGE_PORT
from orders.config import Settings, mask
from orders.embedded import EmbeddedRedis, free_port
from orders.errors import ConfigError, EmbeddedError
from orders.operate import what_hides
from orders.store import SqlStore

FLOWER_PORT = 5555

QUIET = {"CELERY_QUIET": "1", "FLOWER_LOGGING": "error"}
"""What keeps banners, and Flower's list of tasks, off the screen. Errors and log lines stay."""

ProcfileOption = Annotated[Path, typer.Option(help="The Procfile with the processes to run.")]
FolderOption = Annotated[Path, typer.Option(help="The folder for the data of the embedded Redis and SQLite.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Also show banners, and lines of routine tasks.")]


def up(*, procfile: ProcfileOption = Path("Procfile"), folder: FolderOption = FOLDER, verbose: Verbose = False) -> None:
    """Run worker, beat and pages until Ctrl-C, with an embedded Redis and SQLite unless the settings name others.

    The pages are those of `orders web`, if its extra is installed, and of Flower, if the Procfile starts it. With
    Django or Flask (DJANGO_SETTINGS_MODULE, ORDERS_APP), the framework's database is used.
    """
    try:
        from honcho.environ import parse_procfile  # noqa: PLC0415 - an extra
        from honcho.manager import Manager  # noqa: PLC0415 - an extra

        from orders.cli.screen import Screen  # noqa: PLC0415 - it imports the extra
    except ImportError as error:
        raise EmbeddedError("`orders up` needs honcho: install order-expiry[embedded]") from error
    if not procfile.is_file():
        raise EmbeddedError(f"--procfile is {procfile}: the file does not exist")
    commands = parse_procfile(procfile.read_text()).processes
    _check(procfile, commands.values())
    with ExitStack() as stack:
        servers = _servers(stack, folder)
        flower = os.environ.get("FLOWER_PORT") or str(_port(FLOWER_PORT))
        page = (os.environ.get("PAGE_PORT") or str(_port(PAGE_PORT))) if _has_page(commands.values()) else None
        if page:
            commands = {**commands, "page": f"{names.COMMAND} web --port={page}"}
        announcement = Announcement(servers, commands, flower_port=flower, page_port=page)
        screen = Screen(len(commands), verbose=verbose, when_started=announcement.start)
        manager = Manager(screen)
        manager.terminate = screen.once_started(manager.terminate)
        quiet = {} if verbose else {name: value for name, value in QUIET.items() if name not in os.environ}
        for name, command in commands.items():
            manager.add_process(name, command, env=environment({**servers.settings, **quiet, "FLOWER_PORT": flower}))
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"Redis     {mask(servers.settings['ORDERS_REDIS_URL'])}")
        console.print(f"Database  {mask(servers.settings.get('ORDERS_DATABASE_URL') or f'of {process.named()}')}")
        console.print("Starting … Ctrl-C stops everything.")
        if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:  # the terminal was closed: leave no process behind
            signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
        manager.loop()
        announcement.cancel()
    # It normally ends by a signal.
    sys.exit(0 if manager.returncode in {130, 143} else manager.returncode)


def _check(procfile: Path, commands: Iterable[str]) -> None:
    """Check that the commands would run our tasks, not another module of that name.

    Raises:
        ConfigError: the working directory has one.
    """
    hidden = what_hides("tasks")
    if hidden and any(re.search(r"(-A|--app)[ =]?tasks\b(?!\.)", command) for command in commands):
        raise ConfigError(f"--procfile is {procfile}, which starts celery --app=tasks, but {hidden}")


def _servers(stack: ExitStack, folder: Path) -> Servers:
    """Start the servers that the settings do not name; return where all are. The stack stops them."""
    given = process.process_settings()  # an invalid setting raises here, before any process starts
    own: dict[str, str] = {}
    if "redis_url" not in given.model_fields_set:
        stack.enter_context(locked(folder))
        own["ORDERS_REDIS_URL"] = stack.enter_context(EmbeddedRedis(folder / "redis")).url
    settings = {"ORDERS_REDIS_URL": given.redis_url}
    if not process.is_provided():  # otherwise the framework has a database
        settings["ORDERS_DATABASE_URL"] = given.database_url
        if "database_url" not in given.model_fields_set:
            own["ORDERS_DATABASE_URL"] = _sqlite(folder)
    file = stack.enter_context(written(folder, own)) if "ORDERS_REDIS_URL" in own else None
    settings |= own
    return Servers(settings, given.model_copy(update={"redis_url": settings["ORDERS_REDIS_URL"]}), frozenset(own), file)


def _sqlite(folder: Path) -> str:
    """Create a database with both tables, unless it exists; return its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{(folder / 'orders.db').resolve()}"
    with closing(SqlStore(Settings.of({"DATABASE_URL": url}))) as store:
        store.create_table("text")
        store.create_outbox()
    return url


def _has_page(commands: Iterable[str]) -> bool:
    """Return whether to start the operators' page: its extra is installed, and the Procfile does not start it."""
    is_installed = all(find_spec(module) for module in ("flask", "waitress"))
    return is_installed and not any(re.search(rf"\b{names.COMMAND} web\b", command) for command in commands)


def _port(preferred: int) -> int:
    """Return a port, or any free one if another process listens there."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", preferred))
        except OSError:
            return free_port()
    return preferred
