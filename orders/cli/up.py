"""``orders up``: runs the processes of the Procfile, on embedded servers unless the settings name others."""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orders import process
from orders.cli.processes import environment
from orders.config import Settings, mask
from orders.embedded import EmbeddedRedis, free_port
from orders.errors import EmbeddedError
from orders.store import SqlStore

FLOWER_PORT = 5555

ProcfileOption = Annotated[Path, typer.Option(help="The Procfile with the processes to run.")]
FolderOption = Annotated[Path, typer.Option(help="The folder for the data of the embedded Redis and SQLite.")]


def up(*, procfile: ProcfileOption = Path("Procfile"), folder: FolderOption = Path(".orders")) -> None:
    """Run worker, beat and Flower until Ctrl-C, with an embedded Redis and SQLite unless the settings name others.

    With Django or Flask (DJANGO_SETTINGS_MODULE, ORDERS_APP), the framework's database is used.
    """
    try:
        from honcho.environ import parse_procfile  # noqa: PLC0415 - an extra
        from honcho.manager import Manager  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise EmbeddedError("`orders up` needs honcho: install order-expiry[embedded]") from error
    if not procfile.is_file():
        raise EmbeddedError(f"--procfile is {procfile}: the file does not exist")
    with ExitStack() as stack:
        settings = stack.enter_context(_servers(folder))
        flower = os.environ.get("FLOWER_PORT") or str(_flower_port())
        manager = Manager()
        for name, command in parse_procfile(procfile.read_text()).processes.items():
            manager.add_process(name, command, env=environment({**settings, "FLOWER_PORT": flower}))
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"Redis     {mask(settings['ORDERS_REDIS_URL'])}")
        console.print(f"Database  {mask(settings.get('ORDERS_DATABASE_URL') or f'of {process.named()}')}")
        console.print(f"Flower    http://127.0.0.1:{flower}")
        console.print("Press Ctrl-C to stop.")
        manager.loop()
    # It normally ends by a signal.
    sys.exit(0 if manager.returncode in {130, 143} else manager.returncode)


@contextmanager
def _servers(folder: Path) -> Iterator[dict[str, str]]:
    """Start the servers that the settings do not name; yield the settings of all servers."""
    given = process.process_settings()  # an invalid setting raises here, before any process starts
    settings = {"ORDERS_REDIS_URL": given.redis_url}
    with ExitStack() as stack:
        if "redis_url" not in given.model_fields_set:
            _lock(stack, folder)
            settings["ORDERS_REDIS_URL"] = stack.enter_context(EmbeddedRedis(folder / "redis")).url
        if not process.is_provided():  # otherwise the framework has a database
            settings["ORDERS_DATABASE_URL"] = given.database_url
            if "database_url" not in given.model_fields_set:
                settings["ORDERS_DATABASE_URL"] = _sqlite(folder)
        yield settings


def _sqlite(folder: Path) -> str:
    """Create a database with both tables, unless it exists; return its URL."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{(folder / 'orders.db').resolve()}"
    with closing(SqlStore(Settings.of({"DATABASE_URL": url}))) as store:
        store.create_table("text")
        store.create_outbox()
    return url


def _lock(stack: ExitStack, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    lock = stack.enter_context((folder / "lock").open("w"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise EmbeddedError(
            f"another `orders up` uses the folder {folder}: stop it, or give another --folder"
        ) from error


def _flower_port() -> int:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", FLOWER_PORT))
        except OSError:
            return free_port()
    return FLOWER_PORT
