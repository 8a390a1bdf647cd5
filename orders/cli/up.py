"""``orders up``: what the Procfile names, on embedded parts where none are given, until Ctrl-C."""

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

ProcfileOption = Annotated[Path, typer.Option(help="What to run.")]
FolderOption = Annotated[Path, typer.Option(help="Where the embedded Redis and SQLite keep their data.")]


def up(*, procfile: ProcfileOption = Path("Procfile"), folder: FolderOption = Path(".orders")) -> None:
    """Run worker, beat and Flower until Ctrl-C, with a Redis and a SQLite of their own unless the settings name others.

    With Django or Flask (DJANGO_SETTINGS_MODULE, ORDERS_APP) the database is the framework's.
    """
    try:
        from honcho.environ import parse_procfile  # noqa: PLC0415 - an extra
        from honcho.manager import Manager  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise EmbeddedError("`orders up` needs honcho: install order-expiry[embedded]") from error
    if not procfile.is_file():
        raise EmbeddedError(f"--procfile is {procfile}: there is no such file")
    with ExitStack() as stack:
        settings = stack.enter_context(_parts(folder))
        flower = os.environ.get("FLOWER_PORT") or str(_flower_port())
        manager = Manager()
        for name, command in parse_procfile(procfile.read_text()).processes.items():
            manager.add_process(name, command, env=environment({**settings, "FLOWER_PORT": flower}))
        console = Console(soft_wrap=True, highlight=False)
        console.print(f"Redis     {mask(settings['ORDERS_REDIS_URL'])}")
        console.print(f"Database  {mask(settings.get('ORDERS_DATABASE_URL') or f'that of {process.named()}')}")
        console.print(f"Flower    http://127.0.0.1:{flower}")
        console.print("Ctrl-C stops all of them.")
        manager.loop()
    # Stopped by a signal is how it is meant to end.
    sys.exit(0 if manager.returncode in {130, 143} else manager.returncode)


@contextmanager
def _parts(folder: Path) -> Iterator[dict[str, str]]:
    """Start what is not named elsewhere; yield the settings that say where everything is."""
    given = process.process_settings()  # a wrong setting stops here, before anything was started
    settings = {"ORDERS_REDIS_URL": given.redis_url}
    with ExitStack() as stack:
        if "redis_url" not in given.model_fields_set:
            _lock(stack, folder)
            settings["ORDERS_REDIS_URL"] = stack.enter_context(EmbeddedRedis(folder / "redis")).url
        if not process.is_provided():  # else the framework has a database
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
            f"another `orders up` uses the folder {folder}: stop it, or name another --folder"
        ) from error


def _flower_port() -> int:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", FLOWER_PORT))
        except OSError:
            return free_port()
    return FLOWER_PORT
